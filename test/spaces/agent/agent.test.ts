// What config.php is told of an environment.
import type { Output } from "@pulumi/pulumi";
import { expect, it } from "vitest";
import type { Environment } from "../../../infra/inventory/environment.ts";
import { renderCli, renderPlatform } from "../../../spaces/agent/agent.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

async function platform(environment: Environment): Promise<Record<string, unknown>> {
  const rendered = renderPlatform(environment, undefined);
  return JSON.parse(await plain(rendered)) as Record<string, unknown>;
}
const plain = (output: Output<string>) => new Promise<string>((resolve) => output.apply(resolve));

it("has a port in spaces' addresses where browsers need one: in labs", async () => {
  const environment = exampleEnvironment("prod");
  expect(await platform(environment)).not.toHaveProperty("port");
  expect(await platform({ ...environment, port: 8443 })).toMatchObject({ port: 8443 });
});

it("tells spaces of no secret of an office suite: what one knows, all know", async () => {
  expect(await platform(exampleEnvironment("prod"))).toMatchObject({ office: { suites: ["collabora"] } });
  const { office } = await platform(exampleEnvironment("prod"));
  expect(Object.keys(office ?? {})).toEqual(["suites"]);
});

it("shuts libc to code on the command line, as it is shut on web servers", () => {
  expect(renderCli()).toMatch(/^ffi\.enable = 0$/m);
});

it("gives Imaginary no key: it would stand in the address of each request", async () => {
  const { imaginary } = await platform(exampleEnvironment("prod"));
  expect(imaginary).toEqual({ url: expect.stringMatching(/^http:\/\/imaginary-1:\d+$/) });
});
