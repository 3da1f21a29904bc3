// What every adapter answers with, and what it does with this package's own errors.
import type { Countersign } from "../instance/countersign.ts";
import { defaultInstance } from "../instance/default-instance.ts";
import type { FrontCall } from "../recipe/jwks-endpoints.ts";
import { CountersignError } from "../protocol/errors.ts";

/** An answer in the words all frameworks share; names of headers are lower case. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Options of every `middleware()`. */
export interface FrontOptions {
  /** The instance to serve. Default: the one `init` made. */
  countersign?: Countersign | undefined;
}

/** What the front interface answers; undefined, at once for nearly all requests: not ours, the service's own routes go on. */
export function askFront(
  { countersign = defaultInstance() }: FrontOptions,
  call: FrontCall,
): Promise<Answer | undefined> | undefined {
  if (countersign === undefined) {
    return Promise.reject(
      new CountersignError("not_initialised", "middleware: call init before the first request, or give it an instance"),
    );
  }
  return countersign.front
    .handle(call)
    ?.then((answer) => answer && { ...answer, headers: Object.fromEntries(answer.headers) });
}

const TEXTS = { 500: "Internal Server Error", 503: "Service Unavailable" } as const;

/** How this package's own errors are answered, without telling their text; undefined: an error of somebody else. */
export function answerToError(error: unknown): Answer | undefined {
  const status = statusOf(error);
  return status && answerWith(status);
}

export function answerWith(status: keyof typeof TEXTS): Answer {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status, headers, body: JSON.stringify({ message: TEXTS[status] }) };
}

/** Tells the operator of an error where no framework does; what was refused is no error. */
export function warnOf(error: unknown): void {
  const happened = isFailure(error) ? error.cause : error;
  const text = happened instanceof Error ? happened.message : typeof happened;
  process.emitWarning(`A request failed: ${text}`, { code: "COUNTERSIGN_REQUEST_FAILED" });
}

/**
 * For frameworks that send an error's message or take its `status` for their own: our error as anybody may see it. What
 * happened is its `cause`, which logs print. Errors of somebody else stay as they are.
 */
export function presentable(error: unknown): unknown {
  const status = statusOf(error);
  return status === undefined ? error : new CountersignFailure(status, error);
}

/** What `presentable` makes. */
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

/** Told by name: the ESM and the CommonJS build each have these classes. */
function isFailure(error: unknown): error is CountersignFailure {
  return error instanceof Error && error.name === "CountersignFailure";
}

/** 503 while the core is away. */
function statusOf(error: unknown): keyof typeof TEXTS | undefined {
  if (isFailure(error)) return error.statusCode;
  if (!(error instanceof Error) || error.name !== "CountersignError") return undefined;
  const { code, status = 0 } = error as CountersignError;
  return code === "core_unreachable" || (code === "core_refused" && status >= 500) ? 503 : 500;
}
