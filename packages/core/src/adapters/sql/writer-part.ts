import type { Transaction } from "kysely";
import type { Schema } from "./schema.ts";

/** Of what can be done inside one transaction, the part that is about one thing. */
export abstract class SqlWriterPart {
  protected readonly db: Transaction<Schema>;
  protected readonly now: number;
  protected readonly changed: () => void;

  /** @param changed is told of what instances go by */
  constructor(db: Transaction<Schema>, now: number, changed: () => void) {
    this.db = db;
    this.now = now;
    this.changed = changed;
  }
}
