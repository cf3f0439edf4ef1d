// How the programs of ops-1 fail. Messages are for the administrator who typed the command, or reads the alarm.
import { basename } from "node:path";

/** What a program cannot do, and what to do next. */
export class ProgramError extends Error {
  override readonly name: string = "ProgramError";
  readonly who: string;
  /** With which the program ends. */
  readonly status: number = 1;

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

/** A program that we called failed, and has said why. */
export class AlreadySaid extends Error {
  override readonly name = "AlreadySaid";
  /** With which this program ends, too. */
  readonly status: number;

  constructor(what?: string, status = 1) {
    super(what);
    this.status = status;
  }
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
