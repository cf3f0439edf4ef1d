// The lab's own process, in the admin's namespace: `node lab/daemon.ts NAME`. It serves the hcloud endpoint and the
// artifacts, receives mail, and starts again what ran before. Machines outlive it.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { serveArtifacts } from "./artifacts.ts";
import { ENDPOINT_PORT, endpointSocket } from "./hcloud/client.ts";
import { ARTIFACTS_PORT } from "./router-rules.ts";
import { Endpoint } from "./hcloud/endpoint.ts";
import { openLab } from "./lab.ts";
import { MAIL_PORT, takeMail } from "./mail.ts";
import { ADMIN_ADDRESS } from "./namespaces.ts";
import { readSettings } from "./settings.ts";
import { LabWorld } from "./world.ts";

const lab = openLab(process.argv[2] ?? "");
const settings = readSettings(lab);
if (!settings) throw new Error(`there is no lab "${lab.name}"`);

const world = new LabWorld(lab, settings);
const endpoint = new Endpoint(join(lab.directory, "hcloud.json"), world);
await world.reconcile(endpoint.state);
await Promise.all([endpoint.resume(), world.bootDedicated()]);
await serveArtifacts(settings.artifacts, ADMIN_ADDRESS, ARTIFACTS_PORT);
await takeMail(lab, ADMIN_ADDRESS, MAIL_PORT);
await endpoint.listen({ port: ENDPOINT_PORT, host: "127.0.0.1" });
await rm(endpointSocket(lab), { force: true });
// Last: a process that waits for this socket finds everything else ready.
await endpoint.listen({ path: endpointSocket(lab) });
