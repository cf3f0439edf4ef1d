/** What a person can put right: its message says where, who, what was found, and what to write or run next. No stack is shown. */
export class UserError extends Error {}
