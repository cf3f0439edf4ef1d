// An HTTP endpoint for the part of Hetzner's cloud API (https://docs.hetzner.cloud) that this program's resources need.
// So the real provider can drive the lab. It keeps one document; the World makes this machine match it.
import { createServer, type IncomingMessage, type Server as HttpServer } from "node:http";
import type { ListenOptions } from "node:net";
import * as z from "zod";
import { listed } from "./offers.ts";
import { ApiError, entityBody, read, startAction, type Kind, type Work, type World } from "./kind.ts";
import { KINDS } from "./all-kinds.ts";
import {
  nextId,
  readState,
  writeState,
  type Action,
  type Collections,
  type Entity,
  type State,
} from "./document.ts";
import { answerRrset } from "./zone-kind.ts";

const ACTIONS_BY_ID = z.array(z.coerce.number());

export class Endpoint {
  readonly state: State;
  readonly #file: string;
  readonly #world: World;
  /** Requests that change something run one after the other, so that the document and the lab always match. */
  #last: Promise<unknown> = Promise.resolve();
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string, world: World) {
    this.#file = file;
    this.#world = world;
    this.state = readState(file);
    // Nobody finishes the actions of a killed process: they have failed.
    for (const action of this.state.actions)
      if (action.status === "running")
        Object.assign(action, {
          status: "error",
          error: { code: "action_failed", message: "the lab was interrupted" },
        });
  }

  /** After a start, makes the lab match the document. */
  async resume(): Promise<void> {
    await this.#world.reconcile(this.state);
    await Promise.all(
      this.state.servers
        .filter(({ status }) => status !== "off")
        .map(async (server) => {
          await this.#world.boot(this.state, server.id);
          server.status = "running";
        }),
    );
    await this.#save();
  }

  /** Waits until all changes so far are written. */
  saved(): Promise<void> {
    return this.#writing;
  }

  listen(where: ListenOptions): Promise<HttpServer> {
    const server = createServer((request, response) => {
      this.#answer(request).then(
        ({ status, body }) => {
          response.writeHead(status, { "content-type": "application/json" });
          response.end(body === undefined ? "" : JSON.stringify(body));
        },
        (error: unknown) => {
          const known = error instanceof ApiError;
          if (!known) console.error(error);
          const [status, code] = known ? [error.status, error.code] : [500, "service_error"];
          response.writeHead(status, { "content-type": "application/json" });
          response.end(
            JSON.stringify({
              error: { code, message: error instanceof Error ? error.message : String(error), details: null },
            }),
          );
        },
      );
    });
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, () => resolve(server));
    });
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    const { method = "GET", url = "/" } = request;
    const { pathname, searchParams } = new URL(url, "http://localhost");
    const path = pathname.split("/").filter(Boolean).map(decodeURIComponent);
    if (path.shift() !== "v1") throw new ApiError(404, "not_found", "the API is under /v1");
    const body = await readBody(request);
    if (method === "GET") return { status: 200, body: this.#get(path, searchParams) };
    const result = this.#last.then(async () => {
      const changed = await this.#change(method, path, body);
      await this.#world.reconcile(this.state);
      // The work starts after the links exist. The answer names its actions.
      const answer = changed();
      await this.#save();
      return answer;
    });
    this.#last = result.catch(() => {});
    const answer = await result;
    return { status: method === "POST" ? 201 : 200, body: answer };
  }

  #get(path: string[], query: URLSearchParams): unknown {
    const [kind = "", key, ...rest] = path;
    if (kind === "actions") {
      const ids = ACTIONS_BY_ID.parse(key === undefined ? query.getAll("id") : [key]);
      const found = ids
        .map((id) => this.state.actions.find((action) => action.id === id))
        .filter((action) => action !== undefined);
      if (key === undefined) return page("actions", found);
      if (!found[0]) throw new ApiError(404, "not_found", `action with ID '${key}' not found`);
      return { action: found[0] };
    }
    if (!isKind(kind)) {
      const items = listed(kind, query.get("name"));
      if (items && key === undefined) return page(kind, items);
      throw new ApiError(404, "not_found", `the lab's endpoint has no /${path.join("/")}`);
    }
    if (key !== undefined) {
      const entity = this.#find(kind, key);
      if (rest[0] === "rrsets" && kind === "zones")
        return required(
          answerRrset("GET", rest.slice(1), this.#find("zones", key), undefined, this.state),
          path,
        );
      if (rest.length > 0)
        throw new ApiError(404, "not_found", `the lab's endpoint has no GET /${path.join("/")}`);
      return { [KINDS[kind].singular]: this.#view(kind, entity) };
    }
    return page(kind, this.#list(kind, query.get("name")));
  }

  #list<K extends keyof Collections>(kind: K, name: string | null): unknown[] {
    const all: Collections[K][number][] = this.state[kind];
    return all.filter((one) => name === null || one.name === name).map((one) => this.#view(kind, one));
  }

  /** Changes the document. The returned function is called when the lab matches the document; it gives the answer. */
  async #change(method: string, path: string[], body: unknown): Promise<() => unknown> {
    const [kind = "", key, sub, ...rest] = path;
    if (!isKind(kind)) throw new ApiError(404, "not_found", `the lab's endpoint has no /${path.join("/")}`);
    if (method === "POST" && key === undefined) return this.#create(kind, body);
    const entity = this.#find(kind, key ?? "");
    const { singular } = KINDS[kind];
    const resource = [{ id: entity.id, type: singular }];
    if (sub === "rrsets" && kind === "zones") {
      const answer = required(
        answerRrset(method, rest, this.#find("zones", key ?? ""), body, this.state),
        path,
      );
      return () => answer;
    }
    if (method === "POST" && sub === "actions" && rest.length === 1) {
      const [command = ""] = rest;
      const work = this.#act(kind, entity, command, body);
      return () => {
        const action = this.#start(command, resource, work);
        return KINDS[kind].manyActions ? { actions: [action] } : { action };
      };
    }
    if (sub === undefined && method === "PUT") {
      const { name, labels } = read(entityBody.partial(), body);
      Object.assign(entity, name === undefined ? {} : { name }, labels === undefined ? {} : { labels });
      return () => ({ [singular]: this.#view(kind, entity) });
    }
    if (sub === undefined && method === "DELETE") {
      if (entity.protected)
        throw new ApiError(423, "protected", `${singular} ${entity.name} is protected from deletion`);
      this.#delete(kind, entity);
      return () => ({ action: startAction(this.state, `delete_${singular}`, resource) });
    }
    throw new ApiError(404, "not_found", `the lab's endpoint has no ${method} /${path.join("/")}`);
  }

  async #create<K extends keyof Collections>(kind: K, body: unknown): Promise<() => unknown> {
    const { name, labels = {} } = read(entityBody, body);
    const description: Kind<K> = KINDS[kind];
    const collection: Collections[K][number][] = this.state[kind];
    if (collection.some((other) => other.name === name))
      throw new ApiError(
        409,
        "uniqueness_error",
        `${description.singular} with the name '${name}' already exists`,
      );
    const shared: Entity = {
      id: nextId(this.state),
      name,
      labels,
      created: new Date().toISOString(),
      protected: false,
    };
    const entity = await description.create(shared, body, this.state, this.#world);
    collection.push(entity);
    return () => {
      const work = description.created?.(entity, this.state, this.#world);
      const action = this.#start(
        `create_${description.singular}`,
        [{ id: entity.id, type: description.singular }],
        work,
      );
      const many = description.manyActions ? { actions: [action] } : { action, next_actions: [] };
      return { [description.singular]: description.view(entity, this.state), ...many };
    };
  }

  #act<K extends keyof Collections>(
    kind: K,
    entity: Collections[K][number],
    command: string,
    body: unknown,
  ): Work | undefined {
    if (command === "change_protection") {
      entity.protected = read(z.object({ delete: z.boolean().optional() }), body).delete ?? entity.protected;
      return undefined;
    }
    const act = KINDS[kind].actions?.[command];
    if (!act) throw new ApiError(404, "not_found", `the lab's endpoint has no action ${command} of ${kind}`);
    return act(entity, body, this.state, this.#world) ?? undefined;
  }

  #delete<K extends keyof Collections>(kind: K, entity: Collections[K][number]): void {
    KINDS[kind].deleting?.(entity, this.state);
    const collection: Entity[] = this.state[kind];
    collection.splice(collection.indexOf(entity), 1);
  }

  #start(command: string, resources: Action["resources"], work: Work | undefined): Action {
    return startAction(this.state, command, resources, work, () => {
      this.#save().catch((error: unknown) => console.error(error));
    });
  }

  #find<K extends keyof Collections>(kind: K, key: string): Collections[K][number] {
    const collection: Collections[K][number][] = this.state[kind];
    // Zones are also found by name.
    const entity = collection.find((one) => String(one.id) === key || (kind === "zones" && one.name === key));
    if (!entity) throw new ApiError(404, "not_found", `${KINDS[kind].singular} with ID '${key}' not found`);
    return entity;
  }

  #view<K extends keyof Collections>(kind: K, entity: Collections[K][number]): unknown {
    return KINDS[kind].view(entity, this.state);
  }

  #save(): Promise<void> {
    // If a write fails, as on a full disk, the next one must not fail for that.
    this.#writing = this.#writing.catch(() => {}).then(() => writeState(this.#file, this.state));
    return this.#writing;
  }
}

function isKind(kind: string): kind is keyof Collections {
  return Object.hasOwn(KINDS, kind);
}

function required(answer: unknown, path: string[]): unknown {
  if (answer === undefined)
    throw new ApiError(404, "not_found", `the lab's endpoint has no /${path.join("/")}`);
  return answer;
}

/** A list, on a single page. */
function page(kind: string, items: unknown[]): unknown {
  const pagination = {
    page: 1,
    per_page: 50,
    previous_page: null,
    next_page: null,
    last_page: 1,
    total_entries: items.length,
  };
  return { [kind]: items, meta: { pagination } };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    return text === "" ? {} : JSON.parse(text);
  } catch {
    throw new ApiError(400, "json_error", "invalid JSON");
  }
}
