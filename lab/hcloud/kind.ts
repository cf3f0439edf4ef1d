// How the endpoint describes a kind of resource, and what all kinds share.
import * as z from "zod";
import { nextId, type Action, type Collections, type Entity, type State } from "./document.ts";

/** A refusal, with Hetzner's codes: `not_found`, `uniqueness_error`, … */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** What the endpoint does to the lab. Tests use a fake. */
export interface World {
  /** Makes links, filters and the load balancer match the document. Removes machines that are not in it. */
  reconcile(state: State): Promise<void>;
  /** Starts a server and waits until it answers. */
  boot(state: State, id: number): Promise<void>;
  /** Cuts the power of a server. */
  halt(name: string): Promise<void>;
  /** A free public address. One may be reserved for `name`. */
  address(state: State, name: string): string;
  /** A certificate for names, from the lab's own authority. */
  issue(names: readonly string[]): Promise<{ certificate: string; privateKey: string }>;
}

/** Work that continues after the answer. When it ends, the action ends. */
export type Work = () => Promise<void>;

export interface Kind<K extends keyof Collections> {
  /** Name of one entity: `server`, if the collection is `servers`. */
  singular: string;
  /** Creates the entity: the shared fields, and its own from the request. May refuse with an ApiError. */
  create(entity: Entity, body: unknown, state: State, world: World): Promise<Collections[K][number]>;
  /** Work after the creation, such as booting. */
  created?(entity: Collections[K][number], state: State, world: World): Work | undefined;
  view(entity: Collections[K][number], state: State): Record<string, unknown>;
  /** Refuses the deletion, or removes references to the entity. */
  deleting?(entity: Collections[K][number], state: State): void;
  /** `POST /kind/id/actions/name`. May change the entity. If it returns work, the action succeeds after that work. */
  actions?: Record<
    string,
    (entity: Collections[K][number], body: unknown, state: State, world: World) => Work | void
  >;
  /** The answer has a list of actions, as for firewalls. */
  manyActions?: boolean;
}

/** The fields of every request that creates an entity. */
export const entityBody = z.looseObject({
  name: z.string().min(1),
  labels: z.record(z.string(), z.string()).optional(),
});

/** The fields that all views have. */
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

/** Records an action. With work, the action runs until the work is done. */
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

/** Parses a request's body, or refuses it as Hetzner does. */
export function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new ApiError(422, "invalid_input", `invalid input: ${problems.join("; ")}`);
}
