// The responses of all adapters, and how they handle this package's own errors.
import type { Countersign } from "../instance/countersign.ts";
import { defaultInstance } from "../instance/default-instance.ts";
import type { FrontCall } from "../recipe/jwks-endpoints.ts";
import { CountersignError } from "../protocol/errors.ts";

/** A response that every adapter can send; header names are lower case. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Options of every `middleware()`. */
export interface FrontOptions {
  /** The instance whose documents to serve. Default: the one that `init` created. */
  countersign?: Countersign | undefined;
}

/** Returns the response to a request for one of our endpoints, or undefined (immediately, without a promise) for all others. */
export function askFront(
  { countersign = defaultInstance() }: FrontOptions,
  call: FrontCall,
): Promise<Answer | undefined> | undefined {
  if (countersign === undefined) {
    return Promise.reject(
      new CountersignError("not_initialised", "middleware: call init before the first request, or pass an instance"),
    );
  }
  return countersign.front
    .handle(call)
    ?.then((answer) => answer && { ...answer, headers: Object.fromEntries(answer.headers) });
}

const TEXTS = { 500: "Internal Server Error", 503: "Service Unavailable" } as const;

/** Returns the response to one of this package's own errors, without its message; undefined for other errors. */
export function answerToError(error: unknown): Answer | undefined {
  const status = statusOf(error);
  return status && answerWith(status);
}

export function answerWith(status: keyof typeof TEXTS): Answer {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status, headers, body: JSON.stringify({ message: TEXTS[status] }) };
}

/** Emits a warning about an error, for frameworks that do not log errors. */
export function warnOf(error: unknown): void {
  const cause = isFailure(error) ? error.cause : error;
  const text = cause instanceof Error ? cause.message : typeof cause;
  process.emitWarning(`request failed: ${text}`, { code: "COUNTERSIGN_REQUEST_FAILED" });
}

/**
 * Wraps one of this package's own errors for frameworks that send an error's message or use its `status`. The original is
 * the `cause`, which logs print. Returns other errors unchanged.
 */
export function presentable(error: unknown): unknown {
  const status = statusOf(error);
  return status === undefined ? error : new CountersignFailure(status, error);
}

/** An error of this package that is safe to show to clients. */
export class CountersignFailure extends Error {
  override readonly name = "CountersignFailure";
  readonly expose = false;

  constructor(
    readonly statusCode: keyof typeof TEXTS,
    cause: unknown,
  ) {
    super(TEXTS[statusCode], { cause });
  }
}

/** Compares the name, because the ESM and the CommonJS build have a class each. */
function isFailure(error: unknown): error is CountersignFailure {
  return error instanceof Error && error.name === "CountersignFailure";
}

/** Returns 503 if the core is down, 500 for our other errors, and undefined for errors of others. */
function statusOf(error: unknown): keyof typeof TEXTS | undefined {
  if (isFailure(error)) return error.statusCode;
  if (!(error instanceof Error) || error.name !== "CountersignError") return undefined;
  const { code, status = 0 } = error as CountersignError;
  return code === "core_unreachable" || (code === "core_refused" && status >= 500) ? 503 : 500;
}
