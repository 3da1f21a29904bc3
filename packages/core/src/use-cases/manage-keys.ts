import { createPrivateKey, createPublicKey, type JsonWebKeyInput, type KeyObject } from "node:crypto";
import { readJwk, type Algorithm } from "countersign/protocol";
import {
  addImported,
  isRefused,
  revokeKey,
  rotateSigner,
  type DecideChange,
  type RefusedChange,
} from "../domain/key-change.ts";
import { isLive, signerOf, type KeyKind, type SigningKey } from "../domain/signing-key.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { StoredKey } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import { publishedJwk, type KeyMaterial } from "./private-keys.ts";
import type { RotateKeys } from "./rotate-keys.ts";

/** A key as an operator sees it. Dates are ISO 8601; null: none. */
export interface KeyView {
  readonly kid: string;
  readonly kind: KeyKind;
  readonly algorithm: Algorithm;
  readonly state: "prepared" | "active" | "retired" | "revoked" | "removed";
  readonly createdAt: string;
  readonly signsFrom: string;
  readonly signsUntil: string | null;
  readonly verifiesUntil: string | null;
  readonly revokedAt: string | null;
  /** What this instance has signed with it since it started: the least number of tokens that a revocation refuses. */
  readonly issuedHere: number;
}

export interface ImportRequest {
  readonly kid: string;
  /** A private key: PEM (PKCS #8, PKCS #1, SEC 1) or a JWK. */
  readonly key: string | object;
  /** Whether it signs after the lead. Default: it only verifies. */
  readonly signs: boolean;
  /** Milliseconds since the epoch; null: for ever. */
  readonly verifiesUntil: number | null;
}

export type Managed<T> = { ok: true; value: T } | ({ ok: false } & RefusedChange);

export interface ManageKeys {
  list(appId: string): KeyView[];
  /** @param keepUntil until when the old static key verifies, milliseconds since the epoch; null: for ever */
  rotate(appId: string, kind: KeyKind, algorithm: Algorithm, keepUntil: number | null): Promise<Managed<KeyView[]>>;
  revoke(appId: string, kid: string): Promise<Managed<KeyView>>;
  importKey(appId: string, request: ImportRequest): Promise<Managed<KeyView>>;
}

export function createManageKeys(keyRing: KeyRing, rotateKeys: RotateKeys, vault: KeyVault): ManageKeys {
  async function change(appId: string, decide: DecideChange, imported?: KeyMaterial): Promise<Managed<KeyView[]>> {
    const changed = await rotateKeys.change(appId, decide, imported);
    return isRefused(changed) ? { ok: false, ...changed } : { ok: true, value: viewsOf(changed) };
  }

  function viewsOf(keys: readonly StoredKey[]): KeyView[] {
    return keys.map((key) => viewOf(key, keys, keyRing.now(), keyRing.issuedHere(key)));
  }

  function one(managed: Managed<KeyView[]>, kid: string): Managed<KeyView> {
    return managed.ok ? { ok: true, value: managed.value.find((key) => key.kid === kid)! } : managed;
  }

  return Object.freeze<ManageKeys>({
    list: (appId) => viewsOf(keyRing.keysOf(appId)),
    rotate: (appId, kind, algorithm, keepUntil) => change(appId, rotateSigner(kind, algorithm, keepUntil)),
    revoke: async (appId, kid) => one(await change(appId, revokeKey(kid)), kid),
    async importKey(appId, { kid, key, signs, verifiesUntil }) {
      const read = readPrivateKey(key, kid);
      if (typeof read === "string") return { ok: false, status: 400, problem: read };
      const { algorithm, privateKey } = read;
      const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
      const material: KeyMaterial = {
        kid,
        publicJwk: publishedJwk(createPublicKey(privateKey), kid, algorithm),
        ...(await vault.seal(pkcs8, { appId, kid })),
      };
      pkcs8.fill(0);
      return one(await change(appId, addImported(algorithm, kid, signs, verifiesUntil), material), kid);
    },
  });
}

/** Our own kids, and those of existing cores. */
const KID = /^[A-Za-z0-9_-]{1,64}$/;

/** A private key that our verifiers will accept the signatures of, or what is wrong with it. */
function readPrivateKey(key: string | object, kid: string): { algorithm: Algorithm; privateKey: KeyObject } | string {
  if (!KID.test(kid)) return "a kid has 1 to 64 of the characters A-Z a-z 0-9 _ -";
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(typeof key === "string" ? key : ({ key, format: "jwk" } as JsonWebKeyInput));
  } catch {
    return "not a private key: PEM without a pass phrase, or a JWK with its private members, was expected";
  }
  // The rules by which verifiers refuse keys, so that nothing is published that they would skip.
  const read = readJwk({ ...createPublicKey(privateKey).export({ format: "jwk" }), kid, use: "sig" });
  return read.ok ? { algorithm: read.key.algorithm, privateKey } : `the key is not accepted: ${read.problem}`;
}

function viewOf(key: SigningKey, keys: readonly SigningKey[], now: number, issuedHere: number): KeyView {
  const dateOf = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  return {
    kid: key.kid,
    kind: key.kind,
    algorithm: key.algorithm,
    state: stateOf(key, keys, now),
    createdAt: dateOf(key.createdAt)!,
    signsFrom: dateOf(key.signsFrom)!,
    signsUntil: dateOf(key.signsUntil),
    verifiesUntil: dateOf(key.verifiesUntil),
    revokedAt: dateOf(key.revokedAt),
    issuedHere,
  };
}

function stateOf(key: SigningKey, keys: readonly SigningKey[], now: number): KeyView["state"] {
  if (key.revokedAt !== null) return "revoked";
  if (!isLive(key, now)) return "removed";
  const signer = signerOf(keys, key.kind, key.algorithm, now);
  if (signer?.kid === key.kid) return "active";
  return signer !== undefined && key.sequence > signer.sequence ? "prepared" : "retired";
}
