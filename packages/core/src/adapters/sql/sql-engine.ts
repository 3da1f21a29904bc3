import type { Kysely, RawBuilder } from "kysely";
import type { Schema } from "./schema.ts";

/** What a database engine provides to the SQL store. Its drivers reject with StoreUnavailable for temporary errors. */
export interface SqlEngine {
  /** For reads; never waits for a writer. */
  readonly reader: Kysely<Schema>;
  /** For transactions that hold the writers' lock. */
  readonly writer: Kysely<Schema>;
  /** For single statements that write without the writers' lock. */
  readonly shortWriter: Kysely<Schema>;
  /** The engine's clock as an SQL expression, milliseconds since the epoch. */
  now(): RawBuilder<number>;
  /**
   * Takes the writers' lock until the transaction ends, unless beginning the transaction has done so.
   *
   * @param waited milliseconds since the transaction was requested: one timeout covers the connection and the lock
   */
  lockWriters(transaction: Kysely<Schema>, waited: number): Promise<void>;
  /** Notifies other instances when the transaction commits, if the engine can. */
  announce(transaction: Kysely<Schema>): Promise<void>;
  watch(listener: () => void): () => void;
  /** Milliseconds. */
  readonly pollInterval: number;
  /** The schema for new tables; undefined if the engine has no schemas. */
  schema(): Promise<string | undefined>;
  close(): Promise<void>;
}
