// The test kit. An issuer in this process, so that a service's tests need no core, no network and no waiting.
import { buildCountersign, type Countersign } from "../instance/countersign.ts";
import { defaultInstance, setDefaultInstance } from "../instance/default-instance.ts";
import { EMBEDDED_ORIGIN } from "../core-client/embedded-core.ts";
import { ALGORITHMS, type Algorithm } from "../protocol/algorithms.ts";
import { CountersignError } from "../protocol/errors.ts";
import jwt from "../recipe-jwt.ts";
import { MemoryIssuer } from "./memory-issuer.ts";

export interface TestIssuerOptions {
  /** What its keys sign with. Default RS256, as cores do. */
  algorithm?: Algorithm | undefined;
  /** Who the service under test is: the `sub` of its own tokens (`createServiceFetch`). Default "under-test". */
  appName?: string | undefined;
}

/** Headers of a request, as `fetch` takes them. */
export type BearerHeaders = Readonly<Record<"authorization", string>>;

/** An issuer for tests, and the time that it and the verifiers go by. */
export interface TestIssuer {
  /** The instance that guards, verifiers and `createJWT` use while this issuer is there. */
  readonly countersign: Countersign;
  /**
   * Headers of a call by that service. `claims` go before the usual ones (`sub`, `source`, `iat`, `exp` an hour later,
   * `jti`); a claim of `undefined` is left out.
   */
  actAs(service: string, claims?: object): BearerHeaders;
  /** The same by somebody who does not have the issuer's key. */
  actAsStranger(service: string, claims?: object): BearerHeaders;
  /** Lets so many seconds pass, for the issuer and every verifier, and what falls due in between happen. */
  advance(seconds: number): Promise<void>;
  /** A new key signs from now on; tokens of the old one go on verifying. */
  rotate(): Promise<void>;
  /** Revokes one token: headers of `actAs`, or the token itself. Verifiers know at once. */
  revokeToken(token: BearerHeaders | string): Promise<void>;
  /** Revokes everything issued to a service until now, this second included. Verifiers know at once. */
  revokeService(service: string): Promise<void>;
  /** Revokes the current key, and with it everything that it signed. Verifiers know at once. */
  revokeKey(): Promise<void>;
  /** The issuer cannot be reached any more. What verifiers know stays known. */
  goDown(): void;
  /** It can be reached again. */
  comeBack(): Promise<void>;
  /** Sets the issuer's clock ahead of the verifiers', or behind where negative. Seconds. */
  skew(seconds: number): void;
  /** Ends it: the instance that was there before is there again. */
  close(): Promise<void>;
}

/**
 * Starts an issuer in memory and makes it the one that this process trusts: `init` of the service under test does
 * nothing while it is there, and `verifyMicroservice()` lets in whom `actAs` names. Start it before the first request.
 *
 * @throws CountersignError `invalid_option`; also where NODE_ENV is "production", as anybody could act as anyone
 * @example
 * const issuer = startTestIssuer();
 * const answer = await fetch(url, { headers: issuer.actAs("orders") });
 */
export function startTestIssuer(options: TestIssuerOptions = {}): TestIssuer {
  const { algorithm = "RS256", appName = "under-test" } = options;
  if (process.env["NODE_ENV"] === "production") {
    throw new CountersignError("invalid_option", "startTestIssuer: not where NODE_ENV is production");
  }
  if (!ALGORITHMS.includes(algorithm)) {
    throw new CountersignError("invalid_option", `algorithm: expected one of ${ALGORITHMS.join(", ")}`);
  }
  let passed = 0;
  let skewed = 0;
  const clock = { now: () => Date.now() + passed, monotonic: () => performance.now() + passed };
  const memory = new MemoryIssuer(algorithm, () => clock.now() + skewed);
  const { countersign, refresh } = buildCountersign(
    {
      appInfo: { appName, apiDomain: "http://localhost" },
      core: { connectionURI: EMBEDDED_ORIGIN },
      recipeList: [jwt.init()],
    },
    {
      clock,
      connection: { hosts: [EMBEDDED_ORIGIN], send: (request) => memory.answer(request), close: async () => {} },
    },
  );
  const before = defaultInstance();
  setDefaultInstance(countersign);

  const headersOf = (service: string, claims: object, stranger: boolean): BearerHeaders => {
    const payload = memory.claims({ sub: service, source: "microservice", ...claims });
    return Object.freeze({ authorization: `Bearer ${memory.sign(payload, stranger)}` });
  };
  return Object.freeze<TestIssuer>({
    countersign,
    actAs: (service, claims = {}) => headersOf(service, claims, false),
    actAsStranger: (service, claims = {}) => headersOf(service, claims, true),
    async advance(seconds) {
      if (!(Number.isFinite(seconds) && seconds >= 0)) {
        throw new CountersignError("invalid_argument", "advance: seconds from 0 up were expected");
      }
      passed += seconds * 1000;
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
    skew: (seconds) => void (skewed = seconds * 1000),
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
    // said below
  }
  throw new CountersignError("invalid_argument", "revokeToken: headers of actAs, or a token with jti and exp");
}
