import type { OnVerifierEvent } from "../telemetry/events.ts";
import { ALGORITHMS, algorithmNamed, type Algorithm } from "../protocol/algorithms.ts";
import { isScope, type ClaimRules, type ExactValue } from "../protocol/claims.ts";
import { CountersignError } from "../protocol/errors.ts";
import { isLoopbackHost } from "../protocol/loopback.ts";
import * as LIMITS from "../protocol/limits.ts";

/** What a token must be to pass. Every option can also be set per issuer. */
export interface TokenRules {
  /**
   * Names of this service, one of which `aud` must hold. Left out: a token that has an `aud` is
   * refused, as it is meant for somebody else. `null`: not checked, which lets tokens made for other services in.
   */
  audience?: string | readonly string[] | null | undefined;
  /** Default `["RS256", "ES256", "Ed25519"]`; `"EdDSA"` is the older name of the last. */
  algorithms?: readonly (Algorithm | "EdDSA")[] | undefined;
  /** Claims and the exact value each must have. Default `{ source: "microservice" }`, which keeps tokens of end users out. */
  requiredClaims?: Readonly<Record<string, ExactValue>> | undefined;
  /** Services that may call, by the `sub` of their tokens. Default: all. */
  allow?: string | readonly string[] | undefined;
  /** Scopes that a token must have, all of them: a list, or text separated by blanks. Default: none. */
  scope?: string | readonly string[] | undefined;
  /**
   * True: who fails `audience`, `allow` or `scope` is let in, and told of by an event `would_refuse`. All else is
   * refused as ever. Default false.
   */
  reportOnly?: boolean | undefined;
  /** Seconds of difference between clocks that is forgiven. Default 30, at most 300; 0 is allowed. */
  clockTolerance?: number | undefined;
  /** Seconds that `exp - iat` may be at most. Default: any. */
  maxTokenLifetime?: number | undefined;
  /** Allows key sets over plain http off loopback. Default false. */
  allowHttp?: boolean | undefined;
  /** Seconds that keys which cannot be refreshed go on verifying. Default 259,200: three days. */
  maxStale?: number | undefined;
}

/** One issuer whose tokens pass. */
export interface TrustedIssuer extends TokenRules {
  /** The exact `iss` of its tokens. */
  issuer: string;
  /** URL of its key set. Default: found through the issuer's discovery document. */
  jwksUri?: string | undefined;
  /** URL of its revocations; `null`: they are not read. Default: `revocations` beside a key set named `jwks.json`. */
  revocationsUri?: string | null | undefined;
}

/** Options of `createVerifier`. */
export interface VerifierOptions extends TokenRules {
  /** URL of the key set, or several issuers, each with its own. Default: found through the discovery document of `issuer`. */
  jwksUri?: string | readonly TrustedIssuer[] | undefined;
  /** The exact `iss` tokens must have. Default: not checked. */
  issuer?: string | undefined;
  /** URL of the revocations; `null`: they are not read. Default: `revocations` beside a key set named `jwks.json`. */
  revocationsUri?: string | null | undefined;
  /** Told of every refusal and of the key set's state. Default: nobody. */
  onEvent?: OnVerifierEvent | undefined;
}

/** The options of one issuer, checked and resolved. */
export interface ResolvedIssuer {
  readonly rules: ClaimRules;
  /** Those of the rules that refuse; others only tell. */
  readonly enforced: ClaimRules;
  readonly algorithms: ReadonlySet<Algorithm>;
  /** Undefined: by discovery from the issuer, or by what the instance knows. */
  readonly jwksUri: string | undefined;
  /** Undefined: beside the key set; null: none is read. */
  readonly revocationsUri: string | null | undefined;
  readonly allowHttp: boolean;
  /** Milliseconds that keys which cannot be refreshed go on verifying. */
  readonly maxStale: number;
  /** Where its options stand, for messages; empty where they are those of the verifier. One of a list is found by discovery. */
  readonly at: string;
}

const RULE_NAMES = [
  "audience",
  "algorithms",
  "requiredClaims",
  "allow",
  "scope",
  "reportOnly",
  "clockTolerance",
  "maxTokenLifetime",
  "allowHttp",
  "maxStale",
];
const ISSUER_NAMES = new Set([...RULE_NAMES, "issuer", "jwksUri", "revocationsUri"]);
const VERIFIER_NAMES = new Set([...ISSUER_NAMES, "onEvent"]);

/**
 * Checks a verifier's options, all at its creation: what cannot work is never found out by a request.
 *
 * @throws CountersignError `invalid_option`, naming the option and what was expected
 */
export function resolveVerifierOptions(options: VerifierOptions): readonly ResolvedIssuer[] {
  checkNames(options, VERIFIER_NAMES, "");
  if (options.onEvent !== undefined) expect(typeof options.onEvent === "function", "onEvent", "a function");
  if (!Array.isArray(options.jwksUri)) return [resolveTrust(options as TrustedIssuer, "")];

  const issuers = options.jwksUri as readonly TrustedIssuer[];
  expect(issuers.length > 0, "jwksUri", "at least one issuer");
  for (const name of ["issuer", "revocationsUri"] as const) {
    expect(options[name] === undefined, name, "none beside several issuers");
  }
  const { jwksUri: _, onEvent: __, ...shared } = options;
  const trusts = issuers.map((issuer, i) => {
    const at = `jwksUri[${i}].`;
    checkNames(issuer, ISSUER_NAMES, at);
    expect(issuer.issuer !== undefined, `${at}issuer`, "the iss of its tokens");
    return resolveTrust({ ...shared, ...issuer }, at);
  });
  expect(new Set(trusts.map((trust) => trust.rules.issuer)).size === trusts.length, "jwksUri", "each issuer once");
  return trusts;
}

function resolveTrust(options: Partial<TrustedIssuer>, at: string): ResolvedIssuer {
  const { issuer, jwksUri, audience, allow, scope, reportOnly = false, algorithms = ALGORITHMS } = options;
  const { requiredClaims = { source: "microservice" } } = options;
  const { clockTolerance = 30, maxTokenLifetime, allowHttp = false, revocationsUri, maxStale = 259_200 } = options;
  const must = (holds: boolean, option: string, expected: string) => expect(holds, at + option, expected);
  must(issuer === undefined || isText(issuer), "issuer", "a string that is not empty");
  for (const [option, value] of Object.entries({ allowHttp, reportOnly })) {
    must(typeof value === "boolean", option, "true or false");
  }
  for (const [option, uri] of Object.entries({ jwksUri, revocationsUri })) {
    if (uri !== undefined && uri !== null) checkKeyUrl(uri, allowHttp, at + option);
  }

  const listOf = (option: string, names: unknown, is = isText) => {
    const list: unknown = typeof names === "string" ? [names] : names;
    must(Array.isArray(list) && list.length > 0 && list.every(is), option, "one or several names");
    return Object.freeze([...(list as string[])]);
  };

  const accepted = Array.isArray(algorithms) ? algorithms.map((name) => algorithmNamed(name)) : [];
  must(accepted.length > 0 && !accepted.includes(undefined), "algorithms", `some of ${ALGORITHMS.join(", ")}`);

  must(isPlainObject(requiredClaims), "requiredClaims", "an object of claims");
  for (const [name, value] of Object.entries(requiredClaims)) {
    const exact = ["string", "boolean"].includes(typeof value) || Number.isFinite(value);
    must(exact, `requiredClaims.${name}`, "a string, number or boolean");
  }

  const most = LIMITS.clockTolerance;
  must(isFrom0(clockTolerance) && clockTolerance <= most, "clockTolerance", `seconds from 0 to ${most}`);
  must(isFrom0(maxStale), "maxStale", "seconds from 0 up");
  must(maxTokenLifetime !== 0 && isFrom0(maxTokenLifetime ?? 1), "maxTokenLifetime", "seconds above 0");
  const rules: ClaimRules = Object.freeze({
    issuer,
    audience: audience === undefined ? [] : audience === null ? null : listOf("audience", audience),
    requiredClaims: new Map(Object.entries(requiredClaims)),
    allow: allow === undefined ? undefined : listOf("allow", allow),
    scope: scope === undefined ? [] : listOf("scope", typeof scope === "string" ? scope.split(" ") : scope, isScope),
    clockTolerance,
    maxTokenLifetime,
  });
  return Object.freeze({
    rules,
    enforced: reportOnly ? Object.freeze({ ...rules, audience: null, allow: undefined, scope: [] }) : rules,
    algorithms: new Set(accepted as Algorithm[]),
    jwksUri,
    revocationsUri,
    allowHttp,
    maxStale: maxStale * 1000,
    at,
  });
}

/** Keys decide whom we trust, so they come over https, or from this machine, unless somebody says otherwise out loud. */
export function checkKeyUrl(text: string, allowHttp: boolean, option: string): void {
  expect(typeof text === "string" && URL.canParse(text), option, "an absolute URL");
  const url = new URL(text);
  expect(url.username === "" && url.password === "", option, "a URL without a user name");
  expect(
    url.protocol === "https:" || (url.protocol === "http:" && (isLoopbackHost(url.hostname) || allowHttp)),
    option,
    "https: plain http is for this machine only, or with allowHttp: true",
  );
}

export function checkNames(options: object, known: ReadonlySet<string>, at: string): void {
  expect(isPlainObject(options), at === "" ? "options" : at.slice(0, -1), "an object");
  for (const name of Object.keys(options))
    expect(known.has(name), at + name, `one of the options ${[...known].join(", ")}`);
}

function isPlainObject(value: unknown): value is object {
  // A Map of required claims has no entries of its own and would ask for nothing; of any realm.
  return Object.prototype.toString.call(value) === "[object Object]";
}

function isFrom0(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

export function expect(holds: boolean, option: string, expected: string): asserts holds {
  if (!holds) throw new CountersignError("invalid_option", `${option}: expected ${expected}`);
}
