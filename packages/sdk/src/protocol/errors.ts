/** The stable code of every error that the SDK throws. Rejecting a *token* is a Decision, never an error. */
export type ErrorCode =
  /** A recipe function was called before `init`. */
  | "not_initialised"
  /** An invalid option; the message names it. */
  | "invalid_option"
  /** An invalid argument of a call. */
  | "invalid_argument"
  /** No host of the core is reachable. */
  | "core_unreachable"
  /** The core responded with another status than 200 (see `status`), or with an invalid body. */
  | "core_refused"
  /** `connectionURI` is a directory, but the package `countersign-core` is not installed. */
  | "core_not_installed";

/** An error of the SDK. Its message never contains a token or a key. */
export class CountersignError extends Error {
  override readonly name = "CountersignError";
  readonly code: ErrorCode;
  /** HTTP status of the core's response, with code `core_refused`. */
  readonly status: number | undefined;
  /** The core's Retry-After in seconds (RFC 9110 section 10.2.3); undefined if it sent none. */
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
