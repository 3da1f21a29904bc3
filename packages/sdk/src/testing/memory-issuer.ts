import { generateKeyPairSync, randomUUID, sign, type KeyObject } from "node:crypto";
import type { Algorithm } from "../protocol/algorithms.ts";
import { DRIVER_VERSIONS, PATHS, type CreateJwtRequest } from "../protocol/api.ts";

/** A signing key, and its entry in the key set. */
interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

/**
 * An in-memory issuer with the HTTP interface of a core, so that tests run the same code as production. It has no secrets
 * and checks no credentials.
 */
export class MemoryIssuer {
  readonly #algorithm: Algorithm;
  readonly #now: () => number;
  #keys: SigningKey[];
  #keyCount = 0;
  #epoch = 0;
  readonly #revokedTokens: [string, number][] = [];
  readonly #revokedServices = new Map<string, number>();
  readonly #revokedKids: string[] = [];
  /** False: every request fails, as if the issuer were down. */
  up = true;

  /** @param now returns milliseconds since the epoch, by the issuer's clock */
  constructor(algorithm: Algorithm, now: () => number) {
    this.#algorithm = algorithm;
    this.#now = now;
    this.#keys = [this.#generateKey()];
  }

  /** Signs any claims with the current key, or forges a signature with another key and the same kid. */
  sign(claims: object, isForged = false): string {
    const { kid, privateKey } = this.#keys[0]!;
    return this.#jws({ typ: "JWT", kid }, claims, isForged ? this.#generateKey().privateKey : privateKey);
  }

  /** Adds claims as a core does. `payload` overrides them, and `undefined` removes one. */
  claims(payload: object, validity = 3_600): Record<string, unknown> {
    const iat = Math.floor(this.#now() / 1000);
    return { iat, exp: iat + validity, jti: randomUUID(), ...payload };
  }

  /** Signs with a new key. The old ones remain valid for verification. */
  rotate(): void {
    this.#keys.unshift(this.#generateKey());
  }

  revokeToken(jti: string, exp: number): void {
    this.#revokedTokens.push([jti, exp]);
    this.#epoch++;
  }

  revokeService(service: string): void {
    this.#revokedServices.set(service, Math.floor(this.#now() / 1000));
    this.#epoch++;
  }

  /** Removes the current key from the key set, lists it as revoked and signs with a new one. */
  revokeKey(): void {
    this.#revokedKids.push(this.#keys.shift()!.kid);
    this.rotate();
    this.#epoch++;
  }

  /** Responds as a core does. */
  async respond(request: Request): Promise<Response> {
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

  #generateKey(): SigningKey {
    const { privateKey, publicKey } = {
      RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
      ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
      Ed25519: () => generateKeyPairSync("ed25519"),
    }[this.#algorithm]();
    const kid = `s-test-${++this.#keyCount}`;
    return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg: this.#algorithm, use: "sig" } };
  }
}
