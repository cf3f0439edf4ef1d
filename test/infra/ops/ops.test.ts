// How ops-1 reaches the databases.
import { expect, it } from "vitest";
import { renderPgService } from "../../../infra/ops/ops.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

it("finds the primary among all database servers and checks its certificate", () => {
  expect(renderPgService(exampleEnvironment("prod"))).toBe(`[framaspace]
host=postgres-1,postgres-2
port=5432
user=framaspace
dbname=postgres
target_session_attrs=read-write
connect_timeout=3
sslmode=verify-full
channel_binding=disable
sslrootcert=/usr/local/share/ca-certificates/framaspace.crt
`);
});
