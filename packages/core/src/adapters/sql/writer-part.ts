import type { Transaction } from "kysely";
import type { Schema } from "./schema.ts";

/** Base of the classes that write one subject each, all within one transaction. */
export abstract class SqlWriterPart {
  protected readonly db: Transaction<Schema>;
  protected readonly now: number;
  protected readonly changed: () => void;

  /** @param changed called for each change that instances keep in memory: the epoch must grow */
  constructor(db: Transaction<Schema>, now: number, changed: () => void) {
    this.db = db;
    this.now = now;
    this.changed = changed;
  }
}
