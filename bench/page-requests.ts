// Sends one kind of request to a Nextcloud, again and again, from one or more clients at once, and prints how long each
// took. measure-pages.ts starts it in the network namespace from which the Nextcloud is reached. Standard input is a
// Question as JSON; standard output is an array of milliseconds.
import { randomBytes, randomUUID } from "node:crypto";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** What is measured. `cold` is the login page, once. */
export const SCENARIOS = ["status", "login", "propfind", "upload", "download", "chunked", "cold"] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface Question {
  scenario: Scenario;
  /** Address and port that are connected to. */
  address: string;
  port: number;
  /** Host name of the Nextcloud, with its port where people type one. */
  host: string;
  account: string;
  /** App password. */
  password: string;
  clients: number;
  /** Requests of each client that are measured, after `warmUp` that are not. */
  requests: number;
  warmUp: number;
}

const BYTES = 5 * 1024 * 1024;
const CHUNKS = 3;

/** Milliseconds of each measured request. Throws an Error for an answer that is not the expected one. */
async function measure(question: Question): Promise<number[]> {
  const clients = Array.from({ length: question.clients }, (_, index) => client(question, index));
  return (await Promise.all(clients)).flat();
}

async function client(question: Question, index: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const ask = asker(question, agent);
  const act = await SCENARIO[question.scenario](ask, question, `bench-${index}-${randomUUID()}.bin`);
  for (let n = 0; n < question.warmUp; n += 1) await act();
  const took: number[] = [];
  for (let n = 0; n < question.requests; n += 1) {
    const start = performance.now();
    await act();
    took.push(performance.now() - start);
  }
  agent.destroy();
  return took;
}

type Ask = (
  method: string,
  path: string,
  expected: readonly number[],
  options?: { body?: Buffer; headers?: Record<string, string>; signedIn?: boolean },
) => Promise<number>;

/** Sends a request, and reads its answer to the end. Resolves to the number of bytes. */
function asker(question: Question, agent: Agent): Ask {
  const basic = Buffer.from(`${question.account}:${question.password}`).toString("base64");
  return (method, path, expected, { body, headers = {}, signedIn = true } = {}) =>
    new Promise((resolve, reject) => {
      const where = { agent, host: question.address, port: question.port, method, path };
      const sent = request(
        {
          ...where,
          servername: question.host.split(":")[0],
          headers: {
            host: question.host,
            ...(signedIn && { authorization: `Basic ${basic}` }),
            ...(body && { "content-length": String(body.length) }),
            ...headers,
          },
        },
        (response) => {
          let bytes = 0;
          response.on("data", (chunk: Buffer) => (bytes += chunk.length)).on("error", reject);
          response.on("end", () => {
            if (expected.includes(response.statusCode ?? 0)) return resolve(bytes);
            reject(
              new Error(
                `${method} ${path} of ${question.host}: ${response.statusCode}, not ${expected.join(" or ")}`,
              ),
            );
          });
        },
      );
      sent.on("error", reject).end(body);
    });
}

/** For each scenario: prepares, and resolves to what is measured. */
const SCENARIO: Record<
  Scenario,
  (ask: Ask, question: Question, name: string) => Promise<() => Promise<void>>
> = {
  status: async (ask) => async () => void (await ask("GET", "/status.php", [200], { signedIn: false })),
  login: async (ask) => async () => void (await ask("GET", "/login", [200], { signedIn: false })),
  cold: async (ask) => async () => void (await ask("GET", "/login", [200], { signedIn: false })),
  propfind:
    async (ask, { account }) =>
    async () =>
      void (await ask("PROPFIND", `/remote.php/dav/files/${account}/`, [207], { headers: { depth: "1" } })),
  upload: async (ask, { account }, name) => {
    const body = randomBytes(BYTES);
    return async () => void (await ask("PUT", fileOf(account, name), [201, 204], { body }));
  },
  download: async (ask, { account }, name) => {
    await ask("PUT", fileOf(account, name), [201, 204], { body: randomBytes(BYTES) });
    return async () => {
      const bytes = await ask("GET", fileOf(account, name), [200]);
      if (bytes !== BYTES) throw new Error(`GET ${name}: ${bytes} bytes, not ${BYTES}`);
    };
  },
  chunked: async (ask, { account, host }, name) => {
    const body = randomBytes(BYTES);
    return async () => {
      const folder = `/remote.php/dav/uploads/${account}/${randomUUID()}`;
      const headers = {
        destination: `https://${host}${fileOf(account, name)}`,
        "oc-total-length": String(CHUNKS * BYTES),
      };
      await ask("MKCOL", folder, [201], { headers });
      for (let part = 1; part <= CHUNKS; part += 1)
        // 200 where the chunk goes to object storage at once.
        await ask("PUT", `${folder}/${part}`, [200, 201], { body, headers });
      await ask("MOVE", `${folder}/.file`, [201, 204], { headers });
    };
  },
};

const fileOf = (account: string, name: string) => `/remote.php/dav/files/${account}/${name}`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const question: Question = JSON.parse(await text(process.stdin));
  process.stdout.write(JSON.stringify(await measure(question)));
}
