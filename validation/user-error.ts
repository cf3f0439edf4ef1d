/**
 * An error that the user can fix. Its message says where, who, what was found, and what to write or run next. No stack
 * trace is shown.
 */
export class UserError extends Error {}
