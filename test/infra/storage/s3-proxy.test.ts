import { expect, test } from "vitest";
import { storageMachines } from "../../../infra/inventory/addresses.ts";
import { renderS3Proxy } from "../../../infra/storage/s3-proxy.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const [first] = storageMachines(exampleEnvironment("prod"), "primary");
if (!first) throw new Error("the environment has no storage");
const conf = renderS3Proxy(first);

/**
 * What a `map` of nginx gives for a value. Its patterns are PCRE that JavaScript reads in the same way, and none
 * matches the empty text.
 */
function map(variable: string, value: string): string {
  const body = new RegExp(`map \\S.* \\$${variable} \\{\n(.*?)\n {2}\\}`, "s").exec(conf)?.[1] ?? "";
  const lines = [...body.matchAll(/^ *(?:"([^"]*)"|(default)) (\S+);$/gm)];
  const found = lines.find(
    ([, key]) =>
      key !== undefined &&
      (value !== "" && key.startsWith("~*")
        ? new RegExp(key.slice(2), "i").test(value)
        : value !== "" && key.startsWith("~")
          ? new RegExp(key.slice(1)).test(value)
          : key === value),
  );
  return (found ?? lines.find(([, , fallback]) => fallback))?.[3] ?? "";
}

test.each([
  "",
  "list-type=2&prefix=urn%3Aoid%3A1&max-keys=1000",
  "uploads",
  "uploads=",
  "partNumber=1&uploadId=a%2Fb",
  "x-id=PutObject",
  "delete",
])("lets requests for objects pass: ?%s", (args) => expect(map("foreign", args)).toBe("0"));

test.each([
  "X-Amz-Credential=lotus%2F20260101%2Fus-east-1%2Fs3%2Faws4_request",
  "x-amz-signature=0",
  "X%2DAmz-Credential=lotus",
  "partNumber=1&X-Amz-Credential=lotus",
  "uploads&policy",
  "select&select-type=2",
  "lifecycle",
  "versioning=",
  "AWSAccessKeyId=lotus",
  "prefix=a&&events=b",
])("refuses all other requests: ?%s", (args) => expect(map("foreign", args)).toBe("1"));

test.each([
  [
    "AWS4-HMAC-SHA256 Credential=lotus/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    "0",
  ],
  ["", "1"],
  ["AWS lotus:c2lnbmF0dXJl", "1"],
  ["Bearer eyJhbGciOiJIUzUxMiJ9", "1"],
])("requires a signature, version 4, in the header: %s", (header, refused) =>
  expect(map("unsigned", header)).toBe(refused),
);

test.each(["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x, streaming-unsigned-payload-trailer"])(
  "refuses uploads whose signature nobody checks: %s",
  (header) => expect(map("unverified", header)).toBe("1"),
);

test("gives no temporary keys, and lists buckets", () => {
  expect(map("sts", "POST /")).toBe("1");
  expect(map("sts", "GET /")).toBe("0");
  expect(map("sts", "POST /space-lotus/urn:oid:1")).toBe("0");
});

test("asks only its own MinIO: another one may not be ready for requests", () => {
  expect([...conf.matchAll(/^ {4}server (\S+):9000 /gm)].map(([, address]) => address)).toEqual([
    first.privateAddress,
  ]);
  expect(conf).toContain("proxy_ssl_name storage-a;");
});
