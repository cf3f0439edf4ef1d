// How a kind of resource is described to the endpoint, and what all kinds share.
import * as z from "zod";
import { nextId, type Action, type Collections, type Entity, type State } from "./document.ts";

/** A refusal, in Hetzner's words: `not_found`, `uniqueness_error`, … */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** What the endpoint does to the lab. Tests give another one. */
export interface World {
  /** Makes links, filters and the load balancer equal to the document; removes machines that are not in it. */
  reconcile(state: State): Promise<void>;
  /** Starts a server and waits until it answers. */
  boot(state: State, id: number): Promise<void>;
  /** Pulls a server's plug. */
  halt(name: string): Promise<void>;
  /** A public address that nobody has. `name` may have one of its own reserved. */
  address(state: State, name: string): string;
  /** A certificate for names, from the lab's own authority. */
  issue(names: readonly string[]): Promise<{ certificate: string; privateKey: string }>;
}

/** What goes on in the background of an answer; its end is the action's end. */
export type Work = () => Promise<void>;

export interface Kind<K extends keyof Collections> {
  /** `server`, where the collection is `servers`. */
  singular: string;
  /** The new entity: what all have, with its own fields from a request; may be refused by an ApiError. */
  create(entity: Entity, body: unknown, state: State, world: World): Promise<Collections[K][number]>;
  /** Work that follows the creation, such as booting. */
  created?(entity: Collections[K][number], state: State, world: World): Work | undefined;
  view(entity: Collections[K][number], state: State): Record<string, unknown>;
  /** Refuses the deletion, or fixes what pointed at the entity. */
  deleting?(entity: Collections[K][number], state: State): void;
  /** `POST /kind/id/actions/name`. May change the entity; what it returns is done before the action succeeds. */
  actions?: Record<
    string,
    (entity: Collections[K][number], body: unknown, state: State, world: World) => Work | void
  >;
  /** Answers several actions, as firewalls do. */
  manyActions?: boolean;
}

/** What every entity is created with. */
export const entityBody = z.looseObject({
  name: z.string().min(1),
  labels: z.record(z.string(), z.string()).optional(),
});

/** Parts that all views have. */
export function common({ id, name, labels, created, protected: protection }: Entity) {
  return { id, name, labels, created, protection: { delete: protection } };
}

/** The entity with an id, or Hetzner's 404. */
export function find<E extends Entity>(collection: readonly E[], id: number, what: string): E {
  const entity = collection.find((one) => one.id === id);
  if (!entity) throw new ApiError(404, "not_found", `${what} with ID '${id}' not found`);
  return entity;
}

const KEPT_ACTIONS = 500;

/** Notes an action. With work, it runs until the work is done. */
export function startAction(
  state: State,
  command: string,
  resources: Action["resources"],
  work?: Work,
  saved?: () => void,
): Action {
  const now = () => new Date().toISOString();
  const action: Action = {
    id: nextId(state),
    command,
    status: work ? "running" : "success",
    progress: work ? 0 : 100,
    started: now(),
    finished: work ? null : now(),
    error: null,
    resources,
  };
  state.actions.push(action);
  state.actions.splice(0, state.actions.length - KEPT_ACTIONS);
  const end = (status: "success" | "error", error: Action["error"]) => {
    Object.assign(action, { status, error, progress: 100, finished: now() });
    saved?.();
  };
  work?.().then(
    () => end("success", null),
    (error: unknown) =>
      end("error", {
        code: "action_failed",
        message: error instanceof Error ? error.message : String(error),
      }),
  );
  return action;
}

/** Reads a request's body, or refuses it as Hetzner does. */
export function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new ApiError(422, "invalid_input", `invalid input: ${problems.join("; ")}`);
}
