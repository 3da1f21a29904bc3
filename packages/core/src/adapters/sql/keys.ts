import type { Selectable } from "kysely";
import type { Algorithm, PublishedJwk } from "countersign/protocol";
import type { KeyDates } from "../../domain/keys/key-change.ts";
import type { KeyWriter, StoredKey } from "../../ports/store.ts";
import type { Schema } from "./schema.ts";
import { SqlWriterPart } from "./writer-part.ts";

export class SqlKeyWriter extends SqlWriterPart implements KeyWriter {
  async listIn(appId: string): Promise<StoredKey[]> {
    const rows = await this.db
      .selectFrom("signing_keys")
      .selectAll()
      .where("app_id", "=", appId)
      .orderBy("sequence")
      .execute();
    return rows.map(toKey);
  }

  async insert(key: StoredKey): Promise<void> {
    this.changed();
    await this.db.insertInto("signing_keys").values(toRowOfKey(key)).execute();
  }

  async delete(appId: string, kid: string): Promise<void> {
    const { numDeletedRows } = await this.db
      .deleteFrom("signing_keys")
      .where("app_id", "=", appId)
      .where("kid", "=", kid)
      .executeTakeFirst();
    if (numDeletedRows > 0n) this.changed();
  }

  async update(appId: string, kid: string, dates: KeyDates): Promise<void> {
    const before = (await this.listIn(appId)).find((key) => key.kid === kid);
    if (before === undefined || !differs(before, dates)) return;
    this.changed();
    const { signsFrom, signsUntil, verifiesUntil, revokedAt } = { ...before, ...dates };
    await this.db
      .updateTable("signing_keys")
      .set({ signs_from: signsFrom, signs_until: signsUntil, verifies_until: verifiesUntil, revoked_at: revokedAt })
      .where("app_id", "=", appId)
      .where("kid", "=", kid)
      .execute();
  }

  async reseal(appId: string, kid: string, sealedPrivateKey: Uint8Array, masterKeyId: string): Promise<void> {
    const { numUpdatedRows } = await this.db
      .updateTable("signing_keys")
      .set({ sealed_private_key: Buffer.from(sealedPrivateKey).toString("base64url"), master_key_id: masterKeyId })
      .where("app_id", "=", appId)
      .where("kid", "=", kid)
      .executeTakeFirst();
    if (numUpdatedRows > 0n) this.changed();
  }
}

/** Reports whether the dates change the key. @throws RangeError for a date that would move later; null is the latest */
function differs(key: StoredKey, dates: KeyDates): boolean {
  const names = Object.keys(dates) as (keyof KeyDates)[];
  for (const name of names) {
    if ((dates[name] ?? Infinity) > (key[name] ?? Infinity)) throw new RangeError(`${name} of a key never moves later`);
  }
  return names.some((name) => dates[name] !== key[name]);
}

export function toKey(row: Selectable<Schema["signing_keys"]>): StoredKey {
  return Object.freeze({
    appId: row.app_id,
    kid: row.kid,
    kind: row.kind,
    algorithm: row.algorithm as Algorithm,
    sequence: row.sequence,
    createdAt: row.created_at,
    signsFrom: row.signs_from,
    signsUntil: row.signs_until,
    verifiesUntil: row.verifies_until,
    revokedAt: row.revoked_at,
    publicJwk: Object.freeze(JSON.parse(row.public_jwk) as PublishedJwk),
    sealedPrivateKey: Buffer.from(row.sealed_private_key, "base64url"),
    masterKeyId: row.master_key_id,
  });
}

export function toRowOfKey(key: StoredKey): Schema["signing_keys"] {
  return {
    app_id: key.appId,
    kid: key.kid,
    kind: key.kind,
    algorithm: key.algorithm,
    sequence: key.sequence,
    created_at: key.createdAt,
    signs_from: key.signsFrom,
    signs_until: key.signsUntil,
    verifies_until: key.verifiesUntil,
    revoked_at: key.revokedAt,
    public_jwk: JSON.stringify(key.publicJwk),
    sealed_private_key: Buffer.from(key.sealedPrivateKey).toString("base64url"),
    master_key_id: key.masterKeyId,
  };
}
