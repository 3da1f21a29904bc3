/** Whose word is taken for it that somebody is a service: a platform's, about one of its workloads. */
export interface WorkloadTrust {
  readonly appId: string;
  /** Names it where it is listed and ended. */
  readonly id: string;
  /** Who the workload is here. */
  readonly service: string;
  /** `iss` of the platform's tokens. */
  readonly issuer: string;
  /** Their `sub`, or how it begins where a `*` stands at the end. */
  readonly subject: string;
  /** What their `aud` must name, so that a token made for another program is of no use here. */
  readonly audience: string;
  /** The platform's key set as JSON; null: it is found through the issuer's discovery document. */
  readonly jwks: string | null;
  /** Milliseconds since the epoch by the store's clock. */
  readonly createdAt: number;
}

/** Of one app. */
export const MAX_TRUSTS = 1_000;
const MAX_LENGTH = 512;

const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;

/** Why this is no subject to trust; undefined: it is one. */
export function problemOfSubject(subject: string): string | undefined {
  if (!isName(subject)) return `a subject has 1 to ${MAX_LENGTH} printable ASCII characters without blanks`;
  const star = subject.indexOf("*");
  if (star === -1) return undefined;
  // `repo:org/app*` would be `repo:org/app-evil` too, which anybody may be able to make.
  return star === subject.length - 1 && /[:/]$/.test(subject.slice(0, star))
    ? undefined
    : "a subject has one '*' at most, at its end and behind ':' or '/'";
}

/** Why no platform writes this as its `iss`, or as the `aud` that it was asked for; undefined: one may. */
export function problemOfClaim(claim: "issuer" | "audience", value: string): string | undefined {
  if (!isName(value)) return `${claim}: 1 to ${MAX_LENGTH} printable ASCII characters without blanks were expected`;
  // Its discovery document would be asked for elsewhere than its keys are (RFC 8414 section 2).
  return claim === "issuer" && /[?#]/.test(value) ? "issuer: a URL without query and fragment was expected" : undefined;
}

function isName(text: string): boolean {
  return text.length <= MAX_LENGTH && PRINTABLE_ASCII.test(text);
}

/** Exact, or by its beginning; never a pattern that a stranger's text could make slow or wide. */
export function coversSubject({ subject: own }: Pick<WorkloadTrust, "subject">, subject: unknown): boolean {
  if (typeof subject !== "string") return false;
  if (!own.endsWith("*")) return subject === own;
  return subject.length >= own.length && subject.startsWith(own.slice(0, -1));
}
