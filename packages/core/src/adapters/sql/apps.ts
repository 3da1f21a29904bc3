import type { Kysely, Selectable } from "kysely";
import type { Algorithm } from "countersign/protocol";
import type { AppWriter, StoredApp } from "../../ports/store.ts";
import type { Schema } from "./schema.ts";
import { SqlWriterPart } from "./writer-part.ts";

export class SqlAppWriter extends SqlWriterPart implements AppWriter {
  list(): Promise<StoredApp[]> {
    return appsIn(this.db);
  }

  async find(appId: string): Promise<StoredApp | undefined> {
    const row = await this.db.selectFrom("apps").selectAll().where("app_id", "=", appId).executeTakeFirst();
    return row && toApp(row);
  }

  async insert(appId: string): Promise<void> {
    this.changed();
    const row = toRowOfApp({ appId, createdAt: this.now, algorithms: null });
    await this.db.insertInto("apps").values(row).execute();
  }

  async setAlgorithms(appId: string, algorithms: readonly Algorithm[] | null): Promise<void> {
    const text = textOf(algorithms);
    const { numUpdatedRows } = await this.db
      .updateTable("apps")
      .set({ algorithms: text })
      .where("app_id", "=", appId)
      .where("algorithms", "is distinct from", text)
      .executeTakeFirst();
    if (numUpdatedRows > 0n) this.changed();
  }

  async endRotationDue(appId: string): Promise<void> {
    this.changed();
    await this.db.updateTable("apps").set({ rotation_due: 0 }).where("app_id", "=", appId).execute();
  }

  async delete(appId: string): Promise<boolean> {
    const { numDeletedRows } = await this.db.deleteFrom("apps").where("app_id", "=", appId).executeTakeFirst();
    if (numDeletedRows > 0n) this.changed();
    return numDeletedRows > 0n;
  }
}

export async function appsIn(db: Kysely<Schema>): Promise<StoredApp[]> {
  const rows = await db.selectFrom("apps").selectAll().orderBy("created_at").orderBy("app_id").execute();
  return rows.map(toApp);
}

function toApp(row: Selectable<Schema["apps"]>): StoredApp {
  const algorithms = row.algorithms === null ? null : (row.algorithms.split(" ") as Algorithm[]);
  return { appId: row.app_id, createdAt: row.created_at, algorithms, rotationDue: row.rotation_due === 1 };
}

export function toRowOfApp({ appId, createdAt, algorithms }: Omit<StoredApp, "rotationDue">): Schema["apps"] {
  return { app_id: appId, created_at: createdAt, algorithms: textOf(algorithms), rotation_due: 0 };
}

function textOf(algorithms: readonly Algorithm[] | null): string | null {
  return algorithms === null ? null : algorithms.join(" ");
}
