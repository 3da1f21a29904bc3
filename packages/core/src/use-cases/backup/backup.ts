import { createHash } from "node:crypto";
import { ALGORITHMS, type PublicJwk, type PublishedJwk } from "countersign/protocol";
import { z } from "zod";
import type { Store, StoreContent } from "../../ports/store.ts";

const FORMAT = "countersign-backup";
/** The version of the document. A core reads its own version and older ones. Version 2 adds services. */
const VERSION = 2;

const milliseconds = z.number().int().nonnegative();
const content = z.object({
  format: z.literal(FORMAT),
  version: z.number().int().min(1).max(VERSION),
  /** When the store was read, measured with the store's clock. */
  createdAt: z.iso.datetime(),
  generation: z.number().int().positive(),
  epoch: z.number().int().positive(),
  apps: z.array(
    z.object({
      appId: z.string(),
      createdAt: milliseconds,
      algorithms: z.array(z.enum(ALGORITHMS as ["RS256", "ES256", "Ed25519"])).nullable(),
    }),
  ),
  /** Private keys are encrypted; the backup does not contain the master key. */
  keys: z.array(
    z.object({
      appId: z.string(),
      kid: z.string(),
      kind: z.enum(["static", "dynamic"]),
      algorithm: z.enum(ALGORITHMS as ["RS256", "ES256", "Ed25519"]),
      sequence: z.number().int(),
      createdAt: milliseconds,
      signsFrom: milliseconds,
      signsUntil: milliseconds.nullable(),
      verifiesUntil: milliseconds.nullable(),
      revokedAt: milliseconds.nullable(),
      publicJwk: z.record(z.string(), z.unknown()),
      sealedPrivateKey: z.base64url(),
      masterKeyId: z.string(),
    }),
  ),
  revokedTokens: z.array(
    z.object({
      appId: z.string(),
      jti: z.string(),
      expiresAt: z.number().int(),
      service: z.string().exactOptional(),
    }),
  ),
  revokedServices: z.array(z.object({ appId: z.string(), service: z.string(), notBefore: z.number().int() })),
  services: z
    .array(
      z.object({ appId: z.string(), name: z.string(), createdAt: milliseconds, disabledAt: milliseconds.nullable() }),
    )
    .default([]),
  credentials: z
    .array(
      z.object({
        appId: z.string(),
        service: z.string(),
        id: z.string(),
        digest: z.base64url().length(43),
        createdAt: milliseconds,
        expiresAt: milliseconds.nullable(),
        lastUsedAt: milliseconds.nullable(),
      }),
    )
    .default([]),
  /** All policy versions. Older backups have none. */
  policyVersions: z
    .array(
      z.object({
        appId: z.string(),
        version: z.number().int().positive(),
        document: z.string(),
        appliedAt: milliseconds,
        appliedBy: z.string(),
      }),
    )
    .default([]),
  clientKeys: z
    .array(
      z.object({
        appId: z.string(),
        service: z.string(),
        kid: z.string(),
        algorithm: z.enum(ALGORITHMS as ["RS256", "ES256", "Ed25519"]),
        jwk: z.record(z.string(), z.string()),
        createdAt: milliseconds,
      }),
    )
    .default([]),
  trusts: z
    .array(
      z.object({
        appId: z.string(),
        id: z.string(),
        service: z.string(),
        issuer: z.string(),
        subject: z.string(),
        audience: z.string(),
        jwks: z.string().nullable(),
        createdAt: milliseconds,
      }),
    )
    .default([]),
});

/** The whole content of a store as a JSON document. */
export type Backup = z.infer<typeof content> & {
  /** SHA-256 of all other members as JSON, hexadecimal. */
  readonly sha256: string;
};

/** Creates a backup from a consistent snapshot of the store. */
export type TakeBackup = () => Promise<Backup>;

export function createTakeBackup(store: Store): TakeBackup {
  return async () => {
    const stored = await store.readContent();
    const { now, generation, epoch, apps, keys, revokedTokens, revokedServices } = stored;
    const facts: z.infer<typeof content> = {
      format: FORMAT,
      version: VERSION,
      createdAt: new Date(now).toISOString(),
      generation,
      epoch,
      apps: apps.map(({ appId, createdAt, algorithms }) => {
        return { appId, createdAt, algorithms: algorithms && [...algorithms] };
      }),
      keys: keys.map(({ sealedPrivateKey, publicJwk, ...key }) => ({
        ...key,
        publicJwk: { ...publicJwk },
        sealedPrivateKey: Buffer.from(sealedPrivateKey).toString("base64url"),
      })),
      revokedTokens: [...revokedTokens],
      revokedServices: [...revokedServices],
      services: [...stored.services],
      credentials: [...stored.credentials],
      policyVersions: [...stored.policyVersions],
      clientKeys: stored.clientKeys.map((key) => ({ ...key, jwk: { ...key.jwk } })),
      trusts: [...stored.trusts],
    };
    return { ...facts, sha256: digestOf(facts) };
  };
}

/** Parses a backup, or returns the reason why it cannot be restored. */
export function readBackup(text: string): { ok: true; backup: Backup } | { ok: false; problem: string } {
  const refuse = (problem: string) => ({ ok: false as const, problem });
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return refuse("not valid JSON; the file is damaged or not a backup");
  }
  const { sha256, ...facts } = Object(document) as Record<string, unknown>;
  if (facts["format"] !== FORMAT) return refuse("not a backup of a Countersign core");
  const version = facts["version"];
  if (typeof version === "number" && version > VERSION) {
    return refuse(
      `backup version ${version} is newer than this core supports (${VERSION}); restore it with a newer core`,
    );
  }
  if (sha256 !== digestOf(facts)) return refuse("damaged: the content does not match its sha256");
  const parsed = content.safeParse(facts);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refuse(`damaged: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
  }
  return { ok: true, backup: { ...parsed.data, sha256 } };
}

/** Converts a backup to the content of a store. */
export function contentOf(backup: Backup): StoreContent {
  const { apps, keys, revokedTokens, revokedServices, services, credentials, policyVersions } = backup;
  const storedKeys = keys.map((key) => ({
    ...key,
    publicJwk: key.publicJwk as unknown as PublishedJwk,
    sealedPrivateKey: Buffer.from(key.sealedPrivateKey, "base64url"),
  }));
  const clientKeys = backup.clientKeys.map((key) => ({ ...key, jwk: key.jwk as PublicJwk }));
  return {
    apps,
    keys: storedKeys,
    revokedTokens,
    revokedServices,
    services,
    credentials,
    policyVersions,
    clientKeys,
    trusts: backup.trusts,
  };
}

/** Parsing and serializing JSON keeps the order of members, so a backup that was read has the same digest. */
function digestOf(facts: object): string {
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}
