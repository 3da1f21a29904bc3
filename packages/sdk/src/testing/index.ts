// The test kit: an in-process issuer, so that tests of a service need no core, no network and no waiting.
import { buildCountersign, type Countersign } from "../instance/countersign.ts";
import { defaultInstance, setDefaultInstance } from "../instance/default-instance.ts";
import { checkOption } from "../config/option-checks.ts";
import { EMBEDDED_ORIGIN } from "../core-client/embedded-core.ts";
import { ALGORITHMS, type Algorithm } from "../protocol/algorithms.ts";
import { CountersignError } from "../protocol/errors.ts";
import jwt from "../recipe-jwt.ts";
import { MemoryIssuer } from "./memory-issuer.ts";

export interface TestIssuerOptions {
  /** The signing algorithm. Default RS256, as in a core. */
  algorithm?: Algorithm | undefined;
  /** The name of the service under test: the `sub` of its own tokens (`createServiceFetch`). Default "under-test". */
  appName?: string | undefined;
}

/** Request headers for `fetch`. */
export type BearerHeaders = Readonly<Record<"authorization", string>>;

/** An issuer for tests, and the clock of the issuer and all verifiers. */
export interface TestIssuer {
  /** The instance that guards, verifiers and `createJWT` use until `close`. */
  readonly countersign: Countersign;
  /**
   * Returns the headers of a call by a service. `claims` override the defaults (`sub`, `source`, `iat`, `exp` one hour
   * later, `jti`); `undefined` removes a claim.
   */
  actAs(service: string, claims?: object): BearerHeaders;
  /** Same as `actAs`, but signed with a key that is not the issuer's: a forged token. */
  actAsStranger(service: string, claims?: object): BearerHeaders;
  /** Advances the clock by `seconds` (0 or more) for the issuer and all verifiers, and refreshes their documents. */
  advance(seconds: number): Promise<void>;
  /** Signs with a new key. Tokens of the old key remain valid. */
  rotate(): Promise<void>;
  /** Revokes one token: headers of `actAs`, or a token. Verifiers reject it immediately. */
  revokeToken(token: BearerHeaders | string): Promise<void>;
  /** Revokes all tokens issued to a service so far, including this second. Verifiers reject them immediately. */
  revokeService(service: string): Promise<void>;
  /** Revokes the current key and all tokens that it signed. Verifiers reject them immediately. */
  revokeKey(): Promise<void>;
  /** Makes the issuer unavailable. Verifiers keep their cached documents. */
  goDown(): void;
  /** Makes the issuer available again. */
  comeBack(): Promise<void>;
  /** Sets the issuer's clock ahead of the verifiers' clock by `seconds`, or behind if negative. */
  skew(seconds: number): void;
  /** Stops the issuer and restores the previous default instance. */
  close(): Promise<void>;
}

/**
 * Starts an in-memory issuer and makes this process trust it. While it runs, init() has no effect. Start it before the
 * first request.
 *
 * @throws CountersignError `invalid_option`; also if NODE_ENV is "production", where anyone could act as any service
 * @example
 * const issuer = startTestIssuer();
 * const response = await fetch(url, { headers: issuer.actAs("orders") });
 */
export function startTestIssuer(options: TestIssuerOptions = {}): TestIssuer {
  const { algorithm = "RS256", appName = "under-test" } = options;
  if (process.env["NODE_ENV"] === "production") {
    throw new CountersignError("invalid_option", "startTestIssuer: not allowed if NODE_ENV is production");
  }
  checkOption(ALGORITHMS.includes(algorithm), "algorithm", `one of ${ALGORITHMS.join(", ")}`, algorithm);
  let advanced = 0;
  let skew = 0;
  const clock = { now: () => Date.now() + advanced, monotonic: () => performance.now() + advanced };
  const memory = new MemoryIssuer(algorithm, () => clock.now() + skew);
  const { countersign, refresh } = buildCountersign(
    {
      appInfo: { appName, apiDomain: "http://localhost" },
      core: { connectionURI: EMBEDDED_ORIGIN },
      recipeList: [jwt.init()],
    },
    {
      clock,
      connection: { hosts: [EMBEDDED_ORIGIN], send: (request) => memory.respond(request), close: async () => {} },
    },
  );
  const before = defaultInstance();
  setDefaultInstance(countersign);

  const headersOf = (service: string, claims: object, isForged: boolean): BearerHeaders => {
    const payload = memory.claims({ sub: service, source: "microservice", ...claims });
    return Object.freeze({ authorization: `Bearer ${memory.sign(payload, isForged)}` });
  };
  return Object.freeze<TestIssuer>({
    countersign,
    actAs: (service, claims = {}) => headersOf(service, claims, false),
    actAsStranger: (service, claims = {}) => headersOf(service, claims, true),
    async advance(seconds) {
      if (!(Number.isFinite(seconds) && seconds >= 0)) {
        throw new CountersignError("invalid_argument", `advance: expected seconds from 0 up, got ${String(seconds)}`);
      }
      advanced += seconds * 1000;
      await refresh();
    },
    async rotate() {
      memory.rotate();
      await refresh();
    },
    async revokeToken(token) {
      const { jti, exp } = claimsIn(typeof token === "string" ? token : token.authorization.replace(/^Bearer /, ""));
      memory.revokeToken(jti, exp);
      await refresh();
    },
    async revokeService(service) {
      memory.revokeService(service);
      await refresh();
    },
    async revokeKey() {
      memory.revokeKey();
      await refresh();
    },
    goDown: () => void (memory.up = false),
    async comeBack() {
      memory.up = true;
      await refresh();
    },
    skew: (seconds) => void (skew = seconds * 1000),
    async close() {
      if (defaultInstance() === countersign) setDefaultInstance(before);
      await countersign.close();
    },
  });
}

function claimsIn(token: string): { jti: string; exp: number } {
  try {
    const text = Buffer.from(token.split(".")[1]!, "base64url").toString();
    const { jti, exp } = JSON.parse(text) as { jti?: unknown; exp?: unknown };
    if (typeof jti === "string" && typeof exp === "number") return { jti, exp };
  } catch {
    // handled below
  }
  throw new CountersignError("invalid_argument", "revokeToken: expected headers of actAs, or a token with jti and exp");
}
