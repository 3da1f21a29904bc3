import { CREDENTIAL_PREFIX } from "countersign/protocol";

/** What a service authenticates with, as it is stored: whoever reads it cannot use it. */
export interface Credential {
  readonly appId: string;
  readonly service: string;
  /** Names it where it is listed and revoked, and says nothing about the rest. */
  readonly id: string;
  /** SHA-256 of the whole credential, base64url. Without salt or rounds: there are 256 random bits to guess. */
  readonly digest: string;
  /** Milliseconds since the epoch by the store's clock, as all dates here. */
  readonly createdAt: number;
  /** From when on it is not good; null: it stays good until it is revoked. */
  readonly expiresAt: number | null;
  /** About when it was good for something last; null: never yet. */
  readonly lastUsedAt: number | null;
}

/** When a credential was used. */
export interface CredentialUse extends Pick<Credential, "appId" | "service" | "id"> {
  readonly usedAt: number;
}

/** Credentials of one service: two are enough to rotate without downtime. */
export const MAX_CREDENTIALS = 10;

/** Random bytes of a credential. */
export const CREDENTIAL_BYTES = 32;

/** @param random CREDENTIAL_BYTES of them, base64url */
export function writeCredential(service: string, random: string): string {
  return `${CREDENTIAL_PREFIX}${service}_${random}`;
}

/** Whether somebody means to be a service: if not the one it says, then nobody. */
export function isWrittenAsCredential(presented: string): boolean {
  return presented.startsWith(CREDENTIAL_PREFIX);
}

export function hasExpired({ expiresAt }: Credential, now: number): boolean {
  return expiresAt !== null && now >= expiresAt;
}
