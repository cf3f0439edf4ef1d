// The settings of an environment that config.php reads.
import type { Output } from "@pulumi/pulumi";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Environment } from "../../../infra/inventory/environment.ts";
import { renderCatalog, renderCli, renderPlatform, renderRefusedApps } from "../../../spaces/agent/agent.ts";
import type { CatalogFile } from "../../../spaces/agent/machine-files.ts";
import { catalogOf } from "../../../spaces/fleet/catalog.ts";
import { loadFleet } from "../../../spaces/fleet/load-fleet.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const catalog = loadFleet(join(import.meta.dirname, "../../.."), "prod").catalog!;

async function platform(environment: Environment): Promise<Record<string, unknown>> {
  const rendered = renderPlatform(environment, catalog, undefined);
  return JSON.parse(await plain(rendered)) as Record<string, unknown>;
}
const plain = (output: Output<string>) => new Promise<string>((resolve) => output.apply(resolve));

it("says who runs the platform", async () => {
  expect(await platform(exampleEnvironment("prod"))).toMatchObject({ host: catalog.host });
});

it("puts a port into the addresses of spaces where browsers need one: in labs", async () => {
  const environment = exampleEnvironment("prod");
  expect(await platform(environment)).not.toHaveProperty("port");
  expect(await platform({ ...environment, port: 8443 })).toMatchObject({ port: 8443 });
});

it("gives spaces no secret of an office suite: what one space knows, all spaces know", async () => {
  const { office } = await platform(exampleEnvironment("prod"));
  expect(office).toEqual({ suites: ["collabora"], url: "http://office-1:9980", clients: "10.0.41.0/24" });
});

it("names the apps that no space may have, those that the catalog turns off among them", () => {
  const apps = renderRefusedApps(catalog).trimEnd().split("\n");
  // They run foreign code, send what happens elsewhere, store files elsewhere, and make files unreadable.
  expect(apps).toEqual(
    expect.arrayContaining(["onlyoffice", "app_api", "webhook_listeners", "files_external", "encryption"]),
  );
  expect(new Set(apps).size).toBe(apps.length);
});

it("accepts the releases whose differences somebody looked at, and those that an environment chose itself", () => {
  const accepted = (own: Pick<Environment, "releases">) =>
    (JSON.parse(renderCatalog(catalogOf(looked, own))) as CatalogFile).acceptedReleases;
  const release = { state: "current" } as const;
  const looked = {
    ...catalog,
    releases: { "34.0.4": release, "35.0.2": { ...release, acceptDifferences: true as const } },
  };
  expect(accepted({})).toEqual(["35.0.2"]);
  expect(
    accepted({ releases: { "33.0.3": { url: "http://10.0.0.1/a.tar", sha256: "0".repeat(64) } } }),
  ).toEqual(["33.0.3"]);
});

it("gives code on the command line no access to libc, as on web servers", () => {
  expect(renderCli()).toMatch(/^ffi\.enable = 0$/m);
});

it("gives Imaginary no key: it would be in the address of each request", async () => {
  const { imaginary } = await platform(exampleEnvironment("prod"));
  expect(imaginary).toEqual({ url: expect.stringMatching(/^http:\/\/imaginary-1:\d+$/) });
});
