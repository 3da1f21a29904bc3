import { CREDENTIAL_PREFIX } from "countersign/protocol";

/** A service credential as it is stored. Only the digest is stored, so a leaked database contains no usable credential. */
export interface Credential {
  readonly appId: string;
  readonly service: string;
  /** Identifies the credential in lists and for revocation; not secret. */
  readonly id: string;
  /** SHA-256 of the whole credential, base64url. Needs no salt or iterations, because it has 256 random bits. */
  readonly digest: string;
  /** Milliseconds since the epoch by the store's clock, as all dates here. */
  readonly createdAt: number;
  /** When it expires; null: never. */
  readonly expiresAt: number | null;
  /** The approximate time of its last successful use; null: never used. */
  readonly lastUsedAt: number | null;
}

export interface CredentialUse extends Pick<Credential, "appId" | "service" | "id"> {
  readonly usedAt: number;
}

/** Credentials per service; rotation without downtime needs two. */
export const MAX_CREDENTIALS = 10;

/** Random bytes of a credential. */
export const CREDENTIAL_BYTES = 32;

/** @param random CREDENTIAL_BYTES random bytes, base64url */
export function writeCredential(service: string, random: string): string {
  return `${CREDENTIAL_PREFIX}${service}_${random}`;
}

/** Reports whether a key has the format of a service credential, which is never valid as anything else. */
export function isWrittenAsCredential(presented: string): boolean {
  return presented.startsWith(CREDENTIAL_PREFIX);
}

export function hasExpired({ expiresAt }: Credential, now: number): boolean {
  return expiresAt !== null && now >= expiresAt;
}
