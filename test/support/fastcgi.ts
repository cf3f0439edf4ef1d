// PHP-FPM as nginx sees it: a FastCGI server on a socket that answers each request by a function.
import { createServer, type Server, type Socket } from "node:net";

/** Kinds of records (FastCGI Specification 1.0, section 8). */
const KIND = { end: 3, params: 4, stdin: 5, stdout: 6 } as const;
/** A record holds at most 65,535 bytes. */
const LARGEST = 65_528;

/** @param answer From the request's parameters to the answer: header lines, an empty line, and the body. */
export async function startFastCgi(
  socket: string,
  answer: (parameters: ReadonlyMap<string, string>) => string | Promise<string>,
): Promise<Server> {
  const server = createServer((connection) => {
    let bytes = Buffer.alloc(0);
    let parameters = Buffer.alloc(0);
    connection.on("error", () => connection.destroy());
    connection.on("data", (part: Buffer) => {
      bytes = Buffer.concat([bytes, part]);
      while (bytes.length >= 8) {
        const [kind, length, padding] = [bytes.readUInt8(1), bytes.readUInt16BE(4), bytes.readUInt8(6)];
        if (bytes.length < 8 + length + padding) return;
        const content = bytes.subarray(8, 8 + length);
        bytes = bytes.subarray(8 + length + padding);
        if (kind === KIND.params) parameters = Buffer.concat([parameters, content]);
        if (kind !== KIND.stdin || length > 0) continue;
        void send(connection, answer(readParameters(parameters)));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return server;
}

async function send(connection: Socket, answer: string | Promise<string>): Promise<void> {
  const text = Buffer.from(await answer);
  for (let start = 0; start < text.length; start += LARGEST)
    connection.write(record(KIND.stdout, text.subarray(start, start + LARGEST)));
  connection.end(Buffer.concat([record(KIND.stdout, Buffer.alloc(0)), record(KIND.end, Buffer.alloc(8))]));
}

function record(kind: number, content: Buffer): Buffer {
  const head = Buffer.from([1, kind, 0, 1, 0, 0, 0, 0]);
  head.writeUInt16BE(content.length, 4);
  return Buffer.concat([head, content]);
}

/** Pairs, each as two lengths and two texts. A length above 127 has four bytes, of which the first bit is set. */
function readParameters(bytes: Buffer): Map<string, string> {
  const found = new Map<string, string>();
  let at = 0;
  const length = () => {
    const short = bytes.readUInt8(at);
    if (short < 128) return (at++, short);
    at += 4;
    return bytes.readUInt32BE(at - 4) & 0x7fffffff;
  };
  const text = (size: number) => bytes.toString("utf8", at, (at += size));
  while (at < bytes.length) {
    const [name, value] = [length(), length()];
    found.set(text(name), text(value));
  }
  return found;
}
