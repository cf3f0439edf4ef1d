// How the programs fail. Messages are for the administrator who typed the command, or reads the alarm.
import { basename } from "node:path";

/** What cannot be done of a space, and what to do next. */
export class SpaceError extends Error {
  override readonly name = "SpaceError";
  readonly id: string;
  readonly step: string;

  constructor({ id, step }: { id: string; step: string }, what: string) {
    super(what);
    this.id = id;
    this.step = step;
  }

  /** The line that people read. */
  get line(): string {
    return `space ${this.id}, ${this.step}: ${this.message}`;
  }
}

/** What a program cannot do, whichever space it is about. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly who: string;

  /** @param who The program, or what it asked. */
  constructor(who: string, what: string) {
    super(what);
    this.who = who;
  }

  /** The line that people read. */
  get line(): string {
    return `${this.who}: ${this.message}`;
  }
}

/** The program was called with words that it does not take. The message is all that people read. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something failed that nothing of ours says more about: a command, a full disk. */
export class UnexpectedError extends SpaceError {
  readonly status: number;

  constructor(where: { id: string; step: string }, cause: unknown) {
    super(where, `${cause instanceof Error ? cause.message : String(cause)}; run it again`);
    this.cause = cause;
    this.status = cause instanceof CommandError ? cause.status : 1;
  }
}

/** A program that we called failed, and has said why. */
export class AlreadySaid extends Error {
  override readonly name = "AlreadySaid";
}

/** A command failed. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly status: number;

  constructor(command: string, status: number) {
    super(`${basename(command)} ended with status ${status}`);
    this.status = status;
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
