import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readJwk, type Algorithm, type PublishedJwk } from "countersign/protocol";
import { addImported, revokeKey, rotateSigner, type DecideChange } from "../../domain/keys/key-change.ts";
import { isRefused } from "../../domain/change-result.ts";
import { isLive, signerOf, type KeyKind, type SigningKey } from "../../domain/keys/signing-key.ts";
import type { KeyVault } from "../../ports/key-vault.ts";
import type { StoredKey } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import { publishedJwk, type KeyMaterial } from "../../crypto/private-keys.ts";
import { signBytes, verifiesUnder } from "../../crypto/jws.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import type { RotateKeys } from "./rotate-keys.ts";

/** A key as shown to administrators. Dates are ISO 8601; null: none. */
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
  /** Unexpired tokens that this instance has signed with the key since it started; revoking it revokes at least these. */
  readonly unexpiredHere: number;
}

export interface ImportRequest {
  readonly kid: string;
  /** The private key: PEM (PKCS #8, PKCS #1, SEC 1) or a JWK. */
  readonly key: string | Readonly<Record<string, unknown>>;
  /** Also sign with the key, after the lead time. */
  readonly signs: boolean;
  /** When to remove the key from the key set, milliseconds since the epoch; null: never. */
  readonly verifiesUntil: number | null;
}

export interface ManageKeys {
  list(appId: string): KeyView[];
  /** @param keepUntil when to remove the old static key from the key set, milliseconds since the epoch; null: never */
  rotate(
    appId: string,
    kind: KeyKind,
    algorithm: Algorithm,
    keepUntil: number | null,
  ): Promise<ChangeResult<KeyView[]>>;
  revoke(appId: string, kid: string): Promise<ChangeResult<KeyView>>;
  importKey(appId: string, request: ImportRequest): Promise<ChangeResult<KeyView>>;
}

export function createManageKeys(state: InstanceState, rotateKeys: RotateKeys, vault: KeyVault): ManageKeys {
  async function change(appId: string, decide: DecideChange, imported?: KeyMaterial): Promise<ChangeResult<KeyView[]>> {
    const changed = await rotateKeys.change(appId, decide, imported);
    return isRefused(changed) ? { ok: false, ...changed } : { ok: true, value: viewsOf(changed) };
  }

  function viewsOf(keys: readonly StoredKey[]): KeyView[] {
    return keys.map((key) => viewOf(key, keys, state.now(), state.unexpiredHere(key)));
  }

  function one(managed: ChangeResult<KeyView[]>, kid: string): ChangeResult<KeyView> {
    return managed.ok ? { ok: true, value: managed.value.find((key) => key.kid === kid)! } : managed;
  }

  return Object.freeze<ManageKeys>({
    list: (appId) => viewsOf(state.keysOf(appId)),
    rotate: (appId, kind, algorithm, keepUntil) => change(appId, rotateSigner(kind, algorithm, keepUntil)),
    revoke: async (appId, kid) => one(await change(appId, revokeKey(kid)), kid),
    async importKey(appId, { kid, key, signs, verifiesUntil }) {
      const read = await readPrivateKey(key, kid);
      if (typeof read === "string") return { ok: false, status: 400, problem: read };
      const { algorithm, privateKey, publicJwk } = read;
      const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
      const material: KeyMaterial = { kid, publicJwk, ...(await vault.seal(pkcs8, { appId, kid })) };
      pkcs8.fill(0);
      return one(await change(appId, addImported(algorithm, publicJwk, signs, verifiesUntil), material), kid);
    },
  });
}

/** Matches the kids of this core and of existing cores. */
const KID = /^[A-Za-z0-9_-]{1,64}$/;

interface ReadKey {
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicJwk: PublishedJwk;
}

/** Reads a private key whose signatures verifiers accept, or returns the reason why it is rejected. */
async function readPrivateKey(key: ImportRequest["key"], kid: string): Promise<ReadKey | string> {
  if (!KID.test(kid)) return "kid: expected 1 to 64 characters from A-Z a-z 0-9 _ -";
  const given = typeof key === "string" ? {} : key;
  if (given["kid"] !== undefined && given["kid"] !== kid) return "key: its kid differs from the kid of the request";
  const operations = given["key_ops"];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("sign"))) {
    return 'key: key_ops must include "sign"';
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(typeof key === "string" ? key : { key, format: "jwk" });
  } catch {
    return "key: expected a private key as PEM without a passphrase, or as a JWK with its private members";
  }
  let exported: JsonWebKey;
  try {
    exported = createPublicKey(privateKey).export({ format: "jwk" });
  } catch {
    return "key: expected an RSA, P-256 or Ed25519 key";
  }
  // Apply the rules of verifiers, so that the core never publishes a key that they ignore.
  const read = readJwk({ ...exported, kid, alg: given["alg"], use: given["use"] });
  if (!read.ok) return `key: ${read.problem}`;
  const { algorithm } = read.key;
  const publicJwk = publishedJwk(createPublicKey(privateKey), kid, algorithm);
  if (!(await isPair(algorithm, privateKey, publicJwk, given))) return "key: the private and public parts do not match";
  return { algorithm, privateKey, publicJwk };
}

/** Reports whether the public key verifies signatures of the private key. Node does not check this, and ignores an Ed25519 JWK's x. */
async function isPair(
  algorithm: Algorithm,
  privateKey: KeyObject,
  publicJwk: PublishedJwk,
  given: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  const { x = publicJwk.x } = given;
  if (algorithm === "Ed25519" && x !== publicJwk.x) return false;
  if (algorithm === "RS256" && !isWholeRsa(privateKey)) return false;
  const signature = await signBytes(algorithm, privateKey, Buffer.from("probe")).catch(() => undefined);
  return signature !== undefined && verifiesUnder({ algorithm, publicJwk }, "probe", signature);
}

/** Checks all numbers of an RSA key (RFC 8017 section 3.2). Node signs with some of them; another library might use others. */
function isWholeRsa(privateKey: KeyObject): boolean {
  const jwk = privateKey.export({ format: "jwk" }) as Record<string, string>;
  const number = (name: string) => BigInt(`0x0${Buffer.from(jwk[name]!, "base64url").toString("hex")}`);
  const [e, d, p, q] = [number("e"), number("d"), number("p"), number("q")];
  const inverts = (one: bigint, other: bigint, modulus: bigint) => modulus > 0n && (one * other) % modulus === 1n;
  return (
    [d, number("dp")].every((exponent) => inverts(exponent, e, p - 1n)) &&
    [d, number("dq")].every((exponent) => inverts(exponent, e, q - 1n)) &&
    inverts(number("qi"), q, p) &&
    p * q === number("n")
  );
}

function viewOf(key: SigningKey, keys: readonly SigningKey[], now: number, unexpiredHere: number): KeyView {
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
    unexpiredHere,
  };
}

function stateOf(key: SigningKey, keys: readonly SigningKey[], now: number): KeyView["state"] {
  if (key.revokedAt !== null) return "revoked";
  if (!isLive(key, now)) return "removed";
  const signer = signerOf(keys, key.kind, key.algorithm, now);
  if (signer?.kid === key.kid) return "active";
  return signer !== undefined && key.sequence > signer.sequence ? "prepared" : "retired";
}
