import { checkNames, checkOption } from "../config/option-checks.ts";
import type { OnVerifierEvent } from "../telemetry/events.ts";
import { ALGORITHMS, algorithmNamed, type Algorithm } from "../protocol/algorithms.ts";
import { isScope, type ClaimRules, type ExactValue } from "../protocol/claims.ts";
import * as LIMITS from "../protocol/limits.ts";
import { isLoopbackHost } from "../protocol/loopback.ts";
import { isPlainObject } from "../protocol/strict-json.ts";

/** Rules for accepted tokens. Every option can also be set per issuer. */
export interface TokenRules {
  /**
   * Names of this service; `aud` must contain one of them. Default: `aud` must be absent, because a token with an `aud` is
   * meant for another service. `null` skips the check, which also accepts tokens for other services.
   */
  audience?: string | readonly string[] | null | undefined;
  /** Accepted algorithms. Default `["RS256", "ES256", "Ed25519"]`. `"EdDSA"` is the older name of Ed25519. */
  algorithms?: readonly (Algorithm | "EdDSA")[] | undefined;
  /** Claims and the exact value of each. Default `{ source: "microservice" }`, which rejects tokens of end users. */
  requiredClaims?: Readonly<Record<string, ExactValue>> | undefined;
  /** Services that can call, by the `sub` of their tokens. Default: all. */
  allow?: string | readonly string[] | undefined;
  /** Scopes that a token must have, all of them: a list, or a string separated by spaces. Default: none. */
  scope?: string | readonly string[] | undefined;
  /**
   * Accept requests that fail only `audience`, `allow` or `scope`, and emit `would_refuse` instead. Other checks still
   * reject. Default false.
   */
  reportOnly?: boolean | undefined;
  /** Tolerated clock difference in seconds, from 0 to 300. Default 30. */
  clockTolerance?: number | undefined;
  /** Maximum of `exp - iat` in seconds. Default: no limit. */
  maxTokenLifetime?: number | undefined;
  /** Allow fetching key sets over plain HTTP from another host. Default false. */
  allowHttp?: boolean | undefined;
  /** Seconds for which keys that cannot be refreshed remain in use. Default 259,200 (three days). */
  maxStale?: number | undefined;
}

/** One issuer whose tokens are accepted. */
export interface TrustedIssuer extends TokenRules {
  /** The exact `iss` of its tokens. */
  issuer: string;
  /** URL of its key set. Default: from the issuer's discovery document. */
  jwksUri?: string | undefined;
  /** URL of its revocation feed; `null` turns revocation off. Default: `revocations` next to a key set named `jwks.json`. */
  revocationsUri?: string | null | undefined;
}

/** Options of `createVerifier`. */
export interface VerifierOptions extends TokenRules {
  /** URL of the key set, or several issuers, each with its own. Default: from the discovery document of `issuer`. */
  jwksUri?: string | readonly TrustedIssuer[] | undefined;
  /** The exact `iss` that tokens must have. Default: not checked. */
  issuer?: string | undefined;
  /** URL of the revocation feed; `null` turns revocation off. Default: `revocations` next to a key set named `jwks.json`. */
  revocationsUri?: string | null | undefined;
  /** Receives every rejection and every change of the key set. Default: none. */
  onEvent?: OnVerifierEvent | undefined;
}

/** The options of one issuer, checked and resolved. */
export interface ResolvedIssuer {
  readonly rules: ClaimRules;
  /** The rules that reject. With `reportOnly`, `rules` contains more, which are only reported. */
  readonly enforced: ClaimRules;
  readonly algorithms: ReadonlySet<Algorithm>;
  /** Undefined: found by discovery from the issuer, or provided by the instance. */
  readonly jwksUri: string | undefined;
  /** Undefined: next to the key set. `null`: revocation is off. */
  readonly revocationsUri: string | null | undefined;
  readonly allowHttp: boolean;
  /** Milliseconds for which keys that cannot be refreshed remain in use. */
  readonly maxStale: number;
  /** Prefix of its option names in errors, such as `jwksUri[0].`; empty for an issuer that is not in a list. */
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
 * Checks all options of a verifier at its creation, so that a wrong option fails at startup and not on a request.
 *
 * @throws CountersignError `invalid_option`, naming the option and the expected value
 */
export function resolveVerifierOptions(options: VerifierOptions): readonly ResolvedIssuer[] {
  checkNames(options, VERIFIER_NAMES);
  const { jwksUri, onEvent, ...shared } = options;
  checkOption(onEvent === undefined || typeof onEvent === "function", "onEvent", "a function", onEvent);
  if (!Array.isArray(jwksUri)) return [resolveIssuer(options as TrustedIssuer, "")];

  checkOption(jwksUri.length > 0, "jwksUri", "at least one issuer");
  for (const name of ["issuer", "revocationsUri"] as const) {
    checkOption(options[name] === undefined, name, "no value when jwksUri lists issuers");
  }
  const issuers = jwksUri.map((issuer: TrustedIssuer, i) => {
    const at = `jwksUri[${i}].`;
    checkNames(issuer, ISSUER_NAMES, at);
    checkOption(issuer.issuer !== undefined, `${at}issuer`, "the iss of its tokens");
    return resolveIssuer({ ...shared, ...issuer }, at);
  });
  const names = new Set(issuers.map(({ rules }) => rules.issuer));
  checkOption(names.size === issuers.length, "jwksUri", "each issuer once");
  return issuers;
}

function resolveIssuer(options: Partial<TrustedIssuer>, at: string): ResolvedIssuer {
  const { jwksUri, revocationsUri, algorithms = ALGORITHMS } = options;
  const { reportOnly = false, allowHttp = false, maxStale = 259_200 } = options;
  checkOption(typeof reportOnly === "boolean", `${at}reportOnly`, "true or false", reportOnly);
  checkOption(typeof allowHttp === "boolean", `${at}allowHttp`, "true or false", allowHttp);
  if (jwksUri !== undefined) checkKeyUrl(jwksUri, allowHttp, `${at}jwksUri`);
  if (revocationsUri !== undefined && revocationsUri !== null) {
    checkKeyUrl(revocationsUri, allowHttp, `${at}revocationsUri`);
  }
  checkOption(isAtLeast0(maxStale), `${at}maxStale`, "seconds from 0 up", maxStale);
  const rules = resolveRules(options, at);
  return Object.freeze({
    rules,
    enforced: reportOnly ? Object.freeze({ ...rules, audience: null, allow: undefined, scope: [] }) : rules,
    algorithms: resolveAlgorithms(algorithms, `${at}algorithms`),
    jwksUri,
    revocationsUri,
    allowHttp,
    maxStale: maxStale * 1000,
    at,
  });
}

function resolveRules(options: Partial<TrustedIssuer>, at: string): ClaimRules {
  const { issuer, audience, allow, scope, requiredClaims = { source: "microservice" } } = options;
  const { clockTolerance = 30, maxTokenLifetime } = options;
  checkOption(issuer === undefined || isNonEmptyString(issuer), `${at}issuer`, "a non-empty string", issuer);
  const isTolerable = isAtLeast0(clockTolerance) && clockTolerance <= LIMITS.clockTolerance;
  const tolerable = `seconds from 0 to ${LIMITS.clockTolerance}`;
  checkOption(isTolerable, `${at}clockTolerance`, tolerable, clockTolerance);
  const isLifetime = maxTokenLifetime === undefined || (Number.isFinite(maxTokenLifetime) && maxTokenLifetime > 0);
  checkOption(isLifetime, `${at}maxTokenLifetime`, "seconds above 0", maxTokenLifetime);
  const scopes = typeof scope === "string" ? scope.split(" ") : scope;
  return Object.freeze({
    issuer,
    audience: audience === undefined ? [] : audience === null ? null : namesIn(audience, `${at}audience`),
    requiredClaims: resolveRequiredClaims(requiredClaims, `${at}requiredClaims`),
    allow: allow === undefined ? undefined : namesIn(allow, `${at}allow`),
    scope: scopes === undefined ? [] : namesIn(scopes, `${at}scope`, isScope),
    clockTolerance,
    maxTokenLifetime,
  });
}

function resolveAlgorithms(names: unknown, option: string): ReadonlySet<Algorithm> {
  const algorithms = Array.isArray(names) ? names.map((name) => algorithmNamed(name)) : [];
  const known = algorithms.filter((algorithm) => algorithm !== undefined);
  checkOption(known.length > 0 && known.length === algorithms.length, option, `some of ${ALGORITHMS.join(", ")}`);
  return new Set(known);
}

function resolveRequiredClaims(claims: object, option: string): ReadonlyMap<string, ExactValue> {
  // A Map has no properties of its own, so it would require nothing.
  checkOption(isPlainObject(claims), option, "an object of claims", claims);
  for (const [name, value] of Object.entries(claims)) {
    const isExact = ["string", "boolean"].includes(typeof value) || Number.isFinite(value);
    checkOption(isExact, `${option}.${name}`, "a string, number or boolean", value);
  }
  return new Map(Object.entries(claims as Record<string, ExactValue>));
}

function namesIn(names: unknown, option: string, isName = isNonEmptyString): readonly string[] {
  const list: unknown = typeof names === "string" ? [names] : names;
  checkOption(Array.isArray(list) && list.length > 0, option, "one or several names", names);
  for (const name of list) checkOption(isName(name), option, "one or several names", name);
  return Object.freeze([...(list as string[])]);
}

/**
 * Checks the URL of a document whose keys decide whom we trust: https, http on this machine, or any http with
 * `allowHttp`. The error does not contain the URL, which can contain a secret.
 *
 * @throws CountersignError `invalid_option`
 */
export function checkKeyUrl(text: string, allowHttp: boolean, option: string): void {
  checkOption(typeof text === "string" && URL.canParse(text), option, "an absolute URL");
  const url = new URL(text);
  checkOption(url.username === "" && url.password === "", option, "a URL without a user name");
  const isAllowed =
    url.protocol === "https:" || (url.protocol === "http:" && (allowHttp || isLoopbackHost(url.hostname)));
  const expected = "https (plain http is allowed on this machine, or with allowHttp: true)";
  checkOption(isAllowed, option, expected, `${url.protocol}//${url.host}`);
}

function isAtLeast0(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

function isNonEmptyString(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
