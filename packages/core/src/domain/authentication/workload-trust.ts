/** A trusted identity: a workload that authenticates as a service with a token of its platform. */
export interface WorkloadTrust {
  readonly appId: string;
  /** Identifies the trust in lists and for removal. */
  readonly id: string;
  /** The service that the workload authenticates as. */
  readonly service: string;
  /** `iss` of the platform's tokens. */
  readonly issuer: string;
  /** Their `sub`, exact, or a prefix followed by `*`. */
  readonly subject: string;
  /** Their required `aud`, so that tokens for another recipient are rejected. */
  readonly audience: string;
  /** The platform's key set as JSON; null: fetched through the issuer's discovery document. */
  readonly jwks: string | null;
  /** Milliseconds since the epoch by the store's clock. */
  readonly createdAt: number;
}

/** Per app. */
export const MAX_TRUSTS = 1_000;
const MAX_LENGTH = 512;

const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;

/** Returns why the subject is invalid, or undefined if it is valid. */
export function problemOfSubject(subject: string): string | undefined {
  if (!isName(subject)) return `subject: must have 1 to ${MAX_LENGTH} printable ASCII characters without spaces`;
  const star = subject.indexOf("*");
  if (star === -1) return undefined;
  // `repo:org/app*` would also match `repo:org/app-evil`, which an attacker might be able to create.
  return star === subject.length - 1 && /[:/]$/.test(subject.slice(0, star))
    ? undefined
    : "subject: can have one '*', at its end and after ':' or '/'";
}

/** Returns why the value is invalid as a required `iss` or `aud`, or undefined if it is valid. */
export function problemOfClaim(claim: "issuer" | "audience", value: string): string | undefined {
  if (!isName(value)) return `${claim}: must have 1 to ${MAX_LENGTH} printable ASCII characters without spaces`;
  // An issuer has no query and no fragment (RFC 8414 section 2).
  return claim === "issuer" && /[?#]/.test(value) ? "issuer: expected a URL without query and fragment" : undefined;
}

function isName(text: string): boolean {
  return text.length <= MAX_LENGTH && PRINTABLE_ASCII.test(text);
}

/** Matches exactly or by prefix. Patterns could match too much, or be slow on an attacker's text. */
export function coversSubject({ subject: own }: Pick<WorkloadTrust, "subject">, subject: unknown): boolean {
  if (typeof subject !== "string") return false;
  if (!own.endsWith("*")) return subject === own;
  return subject.length >= own.length && subject.startsWith(own.slice(0, -1));
}
