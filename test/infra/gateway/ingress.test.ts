// What the load balancer is told, read from the graph of the production example.
import { expect, it } from "vitest";
import { renderGatewayNginx } from "../../../infra/gateway/gateway.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { prodPlatform } from "../../support/platform-graph.ts";

const { resources } = await prodPlatform();
const service = resources.find(({ type }) => type === "hcloud:index/loadBalancerService:LoadBalancerService");

it("waits as long as it can for an answer: putting a large upload together sends nothing meanwhile", () => {
  expect(service?.inputs["http"]).toMatchObject({ redirectHttp: true, timeoutIdle: 300 });
});

it("closes an idle connection before the gateway does: a request sent on a closed one is lost", () => {
  const [, seconds] =
    /^ *keepalive_timeout (\d+)s;/m.exec(renderGatewayNginx(exampleEnvironment("prod"), "10.0.10.1")) ?? [];
  expect(Number(seconds)).toBeGreaterThan(300);
});
