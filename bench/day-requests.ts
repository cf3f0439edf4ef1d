// Polls many spaces of one web server as their sync clients do, for some minutes, and prints how long each answer took.
// measure-day.ts starts it in the network namespace of ops-1. Standard input is a Day as JSON; standard output is its
// Answers.
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** A client that asks whether anything has changed. */
export interface Client {
  /** Host name of the space, with its port where people type one. */
  host: string;
  account: string;
  /** App password. */
  password: string;
}

export interface Day {
  /** Address of the web server. */
  address: string;
  clients: Client[];
  /** Seconds from one question of a client to its next. */
  every: number;
  /** Seconds for which they ask. */
  lasts: number;
}

export interface Answers {
  /** Milliseconds of each answer that was as expected. */
  took: number[];
  /** What else came, and how often: a status, or the code of an error. */
  wrong: Record<string, number>;
}

const { address, clients, every, lasts }: Day = JSON.parse(await text(process.stdin));
const answers: Answers = { took: [], wrong: {} };
// Gateways keep connections to web servers, so no client opens one for each question.
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const end = performance.now() + lasts * 1000;
await Promise.all(clients.map((client, index) => poll(client, (index / clients.length) * every)));
agent.destroy();
process.stdout.write(JSON.stringify(answers));

/** Asks by the clock, so that a slow answer does not make a client ask less often. */
async function poll(client: Client, offset: number): Promise<void> {
  const first = performance.now() + offset * 1000;
  for (let next = first; next < end; next += every * 1000) {
    await sleep(Math.max(0, next - performance.now()));
    const start = performance.now();
    const answer = await ask(client);
    if (answer === 207) answers.took.push(performance.now() - start);
    else answers.wrong[answer] = (answers.wrong[answer] ?? 0) + 1;
  }
}

/** The desktop client's question: the root folder's own properties. */
function ask({ host, account, password }: Client): Promise<number | string> {
  return new Promise((resolve) => {
    const basic = Buffer.from(`${account}:${password}`).toString("base64");
    const sent = request(
      {
        agent,
        host: address,
        method: "PROPFIND",
        path: `/remote.php/dav/files/${account}/`,
        headers: { host, authorization: `Basic ${basic}`, depth: "0", "x-forwarded-for": address },
        timeout: 60_000,
      },
      (response) =>
        response
          .resume()
          .on("end", () => resolve(response.statusCode ?? 0))
          .on("error", () => resolve("cut off")),
    );
    sent.on("timeout", () => sent.destroy(new Error("no answer in 60 s")));
    sent.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message)).end();
  });
}
