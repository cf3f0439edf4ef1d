// A browser with a document open in the office suite: the websocket that the suite's page opens.
import { once } from "node:events";
import { WebSocket } from "ws";

export class OfficeSession {
  readonly #socket: WebSocket;
  readonly #messages: string[] = [];

  /**
   * Opens the document at an address (WOPISrc) with a token.
   * @param suite Address of the suite's websockets: `wss://collabora.example.org`. It is reached on this machine.
   */
  constructor(suite: string, wopiSrc: string, token: string) {
    const document = `${wopiSrc}?access_token=${token}&access_token_ttl=0`;
    const path = `/cool/${encodeURIComponent(document)}/ws?WOPISrc=${encodeURIComponent(wopiSrc)}&compat=/ws`;
    this.#socket = new WebSocket(`${suite}${path}`, {
      rejectUnauthorized: false,
      lookup: (_host, options, found) =>
        options.all ? found(null, [{ address: "127.0.0.1", family: 4 }]) : found(null, "127.0.0.1", 4),
    });
    this.#socket.on("message", (data: Buffer) => this.#messages.push(data.toString()));
    this.#socket.on("error", (error) => this.#messages.push(`no connection: ${error.message}`));
    this.#socket.on("open", () => this.#send("coolclient 0.1", `load url=${encodeURIComponent(document)}`));
  }

  #send(...messages: string[]): void {
    for (const message of messages) this.#socket.send(message);
  }

  /** The next message that begins so, without its beginning. Rejects with the message that refuses the document. */
  async #next(beginning: string): Promise<string> {
    for (const end = Date.now() + 60_000; Date.now() < end;) {
      const message = this.#messages.shift();
      if (message?.startsWith(beginning)) return message.slice(beginning.length).trim();
      if (message !== undefined && /^(error|no connection):/.test(message)) throw new Error(message);
      if (message !== undefined) continue;
      await Promise.race([
        once(this.#socket, "message"),
        once(this.#socket, "close"),
        new Promise((resolve) => setTimeout(resolve, 1000)),
      ]).catch(() => {});
    }
    throw new Error(`no "${beginning}" within a minute`);
  }

  /** Resolves once the document is open. */
  async opened(): Promise<this> {
    await this.#next("statusindicatorfinish:");
    return this;
  }

  /** The text of the open document. */
  text(): Promise<string> {
    this.#send("gettextselection mimetype=text/plain;charset=utf-8");
    return this.#next("textselectioncontent:");
  }

  /** Writes at the end of the document. */
  write(text: string): void {
    this.#send(`textinput id=0 text=${encodeURIComponent(text)}`);
  }

  /** Whether the space took what was saved. */
  async save(): Promise<boolean> {
    this.#send("save dontTerminateEdit=1 dontSaveIfUnmodified=0");
    const said: unknown = JSON.parse(await this.#next("unocommandresult:"));
    return (said as { success: boolean }).success;
  }

  async close(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = once(this.#socket, "close").catch(() => {});
    this.#socket.close();
    await closed;
  }
}

/** What the suite says to somebody whom it refuses the document. Throws if it opens the document. */
export async function refusal(suite: string, wopiSrc: string, token: string): Promise<string> {
  const session = new OfficeSession(suite, wopiSrc, token);
  try {
    await session.opened();
  } catch (error) {
    return String(error);
  } finally {
    await session.close();
  }
  throw new Error(`${wopiSrc} was opened`);
}
