/** Every error the SDK rejects or throws with, by its stable code. What a *token* is refused for is a Decision, never an error. */
export type ErrorCode =
  /** A recipe function was used before `init`. */
  | "not_initialised"
  /** An option that cannot work; the message names it. */
  | "invalid_option"
  /** An argument of a call that cannot work. */
  | "invalid_argument"
  /** No host of the core could be reached. */
  | "core_unreachable"
  /** The core answered, and not with 200; `status` is its status. */
  | "core_refused"
  /** `connectionURI` is a directory, and the package `countersign-core` is not installed. */
  | "core_not_installed";

/** An accident or a mistake. Its message never holds a token or a key. */
export class CountersignError extends Error {
  override readonly name = "CountersignError";
  readonly code: ErrorCode;
  /** HTTP status of the core's answer, with code `core_refused`. */
  readonly status: number | undefined;
  /** Seconds that the core wants to be left alone, where it said so (RFC 9110 section 10.2.3). */
  readonly retryAfter: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: { status?: number; retryAfter?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, details);
    this.code = code;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
  }
}
