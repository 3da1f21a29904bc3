import { generateKeyPairSync, randomUUID, sign, type KeyObject } from "node:crypto";
import type { Algorithm } from "../protocol/algorithms.ts";
import { DRIVER_VERSIONS, PATHS, type CreateJwtRequest } from "../protocol/api.ts";

/** A key that signs, and what the key set says of it. */
interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

/**
 * An issuer in memory that is spoken to as a core is, by requests: what is tested with it goes the way that it goes in
 * production. It keeps no secret and checks no credential.
 */
export class MemoryIssuer {
  readonly #algorithm: Algorithm;
  readonly #now: () => number;
  #keys: SigningKey[];
  #made = 0;
  #epoch = 0;
  readonly #revokedTokens: [string, number][] = [];
  readonly #revokedServices = new Map<string, number>();
  readonly #revokedKids: string[] = [];
  /** Whether its answers arrive. */
  up = true;

  /** @param now milliseconds since the epoch, by the issuer's clock */
  constructor(algorithm: Algorithm, now: () => number) {
    this.#algorithm = algorithm;
    this.#now = now;
    this.#keys = [this.#makeKey()];
  }

  /** Signs whatever claims it is given, by the current key or a stranger's under the same kid. */
  sign(claims: object, stranger = false): string {
    const { kid, privateKey } = this.#keys[0]!;
    return this.#jws({ typ: "JWT", kid }, claims, stranger ? this.#makeKey().privateKey : privateKey);
  }

  /** Claims as a core adds them: those that are given win, and `undefined` leaves one out. */
  claims(payload: object, validity = 3_600): Record<string, unknown> {
    const iat = Math.floor(this.#now() / 1000);
    return { iat, exp: iat + validity, jti: randomUUID(), ...payload };
  }

  /** A new key signs; the old ones go on verifying. */
  rotate(): void {
    this.#keys.unshift(this.#makeKey());
  }

  revokeToken(jti: string, exp: number): void {
    this.#revokedTokens.push([jti, exp]);
    this.#epoch++;
  }

  revokeService(service: string): void {
    this.#revokedServices.set(service, Math.floor(this.#now() / 1000));
    this.#epoch++;
  }

  /** The current key is gone from the set, with every token that it signed; a new one signs. */
  revokeKey(): void {
    this.#revokedKids.push(this.#keys.shift()!.kid);
    this.rotate();
    this.#epoch++;
  }

  /** What a core answers. */
  async answer(request: Request): Promise<Response> {
    if (!this.up) throw new Error("the test issuer is down");
    const { pathname } = new URL(request.url);
    const headers = { "cache-control": "max-age=60", date: new Date(this.#now()).toUTCString() };
    switch (`${request.method} ${pathname}`) {
      case `GET ${PATHS.apiVersion}`:
        return Response.json({ versions: DRIVER_VERSIONS });
      case `GET ${PATHS.jwks}`:
      case `GET ${PATHS.jwksAll}`:
        return Response.json({ keys: this.#keys.map((key) => key.jwk) }, { headers });
      case `GET ${PATHS.revocations}`:
        return new Response(this.#feed(), { headers: { ...headers, "content-type": "application/jwt" } });
      case `POST ${PATHS.jwt}`: {
        const { payload, jwksDomain, validity } = (await request.json()) as CreateJwtRequest;
        return Response.json({ status: "OK", jwt: this.sign(this.claims({ iss: jwksDomain, ...payload }, validity)) });
      }
      default:
        return new Response("Not found", { status: 404 });
    }
  }

  #feed(): string {
    const { kid, privateKey } = this.#keys[0]!;
    const claims = {
      iat: Math.floor(this.#now() / 1000),
      generation: 1,
      epoch: this.#epoch,
      tokens: this.#revokedTokens,
      services: [...this.#revokedServices],
      kids: this.#revokedKids,
    };
    return this.#jws({ typ: "revocations+jwt", kid }, claims, privateKey);
  }

  #jws(header: object, claims: object, key: KeyObject): string {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const input = `${encode({ alg: this.#algorithm, ...header })}.${encode(claims)}`;
    const digest = this.#algorithm === "Ed25519" ? null : "sha256";
    return `${input}.${sign(digest, Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }

  #makeKey(): SigningKey {
    const { privateKey, publicKey } = {
      RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
      ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
      Ed25519: () => generateKeyPairSync("ed25519"),
    }[this.#algorithm]();
    const kid = `s-test-${++this.#made}`;
    return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg: this.#algorithm, use: "sig" } };
  }
}
