// How programs that work on one space fail.
import {
  AlreadySaid,
  CommandError,
  ProgramError,
  UsageError,
} from "../../../infra/machine/programs/program-error.ts";

/** What cannot be done of a space, and what to do next. */
export class SpaceError extends ProgramError {
  override readonly name: string = "SpaceError";
  readonly id: string;
  readonly step: string;

  constructor({ id, step }: { id: string; step: string }, what: string) {
    super(`space ${id}, ${step}`, what);
    this.id = id;
    this.step = step;
  }
}

/** Something failed that nothing of ours says more about: a command, a full disk. */
export class UnexpectedError extends SpaceError {
  override readonly status: number;

  constructor(where: { id: string; step: string }, cause: unknown) {
    super(where, `${cause instanceof Error ? cause.message : String(cause)}; run it again`);
    this.cause = cause;
    this.status = cause instanceof CommandError ? cause.status : 1;
  }
}

/** The error, with space and step if it does not name them itself. */
export function namingStep(work: { space: { id: string }; step: string }, error: unknown): Error {
  if (error instanceof SpaceError || error instanceof AlreadySaid || error instanceof UsageError)
    return error;
  if (error instanceof ProgramError)
    return new SpaceError({ id: work.space.id, step: work.step }, error.message);
  return new UnexpectedError({ id: work.space.id, step: work.step }, error);
}
