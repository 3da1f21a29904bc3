// A pool for Kysely that tells what may pass from what is wrong, and keeps no connection that is in doubt.
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import pg from "pg";
import { StoreUnavailable } from "../../ports/store.ts";
import { reasonOf } from "../../ports/startup-error.ts";
import { prepareSession } from "./postgres-connection.ts";

export interface PoolLimits {
  /** Connections at most. */
  readonly max: number;
  /** Milliseconds until somebody has one. */
  readonly patience: number;
  /**
   * Milliseconds that one is used. After a failover the old server may go on answering whoever is connected to it, and
   * a pool that is in use all the time would stay there for ever.
   */
  readonly lifetime: number;
}

/** Milliseconds until a connection that nobody uses is closed. */
const IDLE = 30_000;

/**
 * Every error of its connections that may pass is StoreUnavailable; a mistake of ours stays what it is.
 *
 * @param settings how a connection is made, asked each time
 */
export function createPostgresPool(limits: PoolLimits, settings: () => pg.ClientConfig): PostgresPool {
  class Client extends pg.Client {
    constructor() {
      super({ ...settings(), connectionTimeoutMillis: limits.patience });
    }
  }
  const pool = new pg.Pool({
    Client,
    max: limits.max,
    connectionTimeoutMillis: limits.patience,
    maxLifetimeSeconds: limits.lifetime / 1000,
    idleTimeoutMillis: IDLE,
    allowExitOnIdle: true,
    // eslint-disable-next-line typescript/no-misused-promises -- the pool waits for it, which its type does not say
    onConnect: prepareSession,
  });
  pool.on("error", () => {}); // an idle connection that broke is replaced; whoever needs one finds out
  return {
    async connect() {
      try {
        return new Borrowed(await pool.connect()) as unknown as PostgresPoolClient;
      } catch (error) {
        throw unavailable(error); // whatever keeps us out, a wrong password included: it may be put right meanwhile
      }
    },
    end: () => pool.end(),
  };
}

/** A connection while somebody has it. Kysely's interface has cursors too; we have none. */
class Borrowed {
  readonly #client: pg.PoolClient;
  /** Why the connection is not to be used again. */
  #lost: StoreUnavailable | undefined;
  /** The pool listens only to idle connections, and an error that nobody listens to ends the process. */
  readonly #onError = (error: Error) => {
    this.#lost ??= unavailable(error);
  };

  constructor(client: pg.PoolClient) {
    this.#client = client;
    client.on("error", this.#onError);
  }

  async query<R>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    // Else the rollback would wait as long again as what it is to roll back.
    if (this.#lost !== undefined) throw this.#lost;
    try {
      return (await this.#client.query(text, [...parameters])) as unknown as PostgresQueryResult<R>;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) {
        // Not the server's word: the connection broke, or the answer did not come and may still do so.
        this.#lost ??= unavailable(error);
        throw this.#lost;
      }
      // It is no longer the server that takes writes; where that is now, only a new connection finds out.
      if (error.code === ONLY_READS) this.#lost ??= unavailable(error);
      throw mayPass(error) ? unavailable(error) : error;
    }
  }

  release(): void {
    this.#client.removeListener("error", this.#onError);
    this.#client.release(this.#lost ?? false);
  }
}

const ONLY_READS = "25006";

/**
 * SQLSTATE (PostgreSQL's documentation, appendix A): connection, transaction rollback, resources, operator
 * intervention, system; a server that only reads, a transaction ended for idling, a lock not had in time.
 */
const PASSING = /^(?:08|40|53|57|58)|^(?:25006|25P03|25P04|55P03)$/;

function mayPass({ code }: pg.DatabaseError): boolean {
  return code !== undefined && PASSING.test(code);
}

function unavailable(error: unknown): StoreUnavailable {
  return new StoreUnavailable(`the database: ${wordsFor(error)}`, { cause: error });
}

/** One line for an error of the server or of the way to it. */
export function wordsFor(error: unknown): string {
  const { code = "", message, path } = error as NodeJS.ErrnoException;
  if (code === "" && /timeout/i.test(message)) return "no answer in time"; // pg's own words, which have no code
  if (/client password must be a string/.test(message)) return "the server wants a password, and none is given";
  return path === undefined ? reasonOf(error) : `${path}: ${reasonOf(error)}`;
}
