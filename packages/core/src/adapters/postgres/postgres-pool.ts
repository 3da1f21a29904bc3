import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import pg from "pg";
import { StoreUnavailable } from "../../ports/store.ts";
import { reasonOf } from "../../ports/startup-error.ts";
import { prepareSession } from "./postgres-connection.ts";

export interface PoolLimits {
  /** Maximum number of connections. */
  readonly max: number;
  /** Milliseconds to wait for a connection. */
  readonly timeout: number;
  /**
   * Milliseconds after which a connection is replaced. After a failover, the old server might still respond on open
   * connections, and a busy pool would use them indefinitely.
   */
  readonly lifetime: number;
}

/** Milliseconds until an idle connection is closed. */
const IDLE = 30_000;

/**
 * Creates a pool for Kysely. Temporary errors become StoreUnavailable; other errors, such as invalid SQL, do not. Closes
 * a connection whose state is uncertain.
 *
 * @param settings returns the settings for each new connection
 */
export function createPostgresPool(limits: PoolLimits, settings: () => pg.ClientConfig): PostgresPool {
  class Client extends pg.Client {
    constructor() {
      super({ ...settings(), connectionTimeoutMillis: limits.timeout });
    }
  }
  const pool = new pg.Pool({
    Client,
    max: limits.max,
    connectionTimeoutMillis: limits.timeout,
    maxLifetimeSeconds: limits.lifetime / 1000,
    idleTimeoutMillis: IDLE,
    allowExitOnIdle: true,
    // eslint-disable-next-line typescript/no-misused-promises -- the pool awaits it, but its type does not allow it
    onConnect: prepareSession,
  });
  pool.on("error", () => {}); // the pool replaces broken idle connections
  return {
    async connect() {
      try {
        return new Borrowed(await pool.connect()) as unknown as PostgresPoolClient;
      } catch (error) {
        throw unavailable(error); // any reason, also a wrong password: it can be corrected while we run
      }
    },
    end: () => pool.end(),
  };
}

/** A connection in use. Kysely's interface also has cursors, which we do not use. */
class Borrowed {
  readonly #client: pg.PoolClient;
  /** Why the connection must not be used again. */
  #lost: StoreUnavailable | undefined;
  /** The pool handles errors of idle connections only, and an unhandled error event ends the process. */
  readonly #onError = (error: Error) => {
    this.#lost ??= unavailable(error);
  };

  constructor(client: pg.PoolClient) {
    this.#client = client;
    client.on("error", this.#onError);
  }

  async query<R>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    // Otherwise the rollback would wait for another timeout.
    if (this.#lost !== undefined) throw this.#lost;
    try {
      return (await this.#client.query(text, [...parameters])) as unknown as PostgresQueryResult<R>;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) {
        // Not an error response of the server: the connection broke, or the response timed out and can still arrive.
        this.#lost ??= unavailable(error);
        throw this.#lost;
      }
      // The server no longer accepts writes; a new connection can reach the one that does.
      if (error.code === READ_ONLY) this.#lost ??= unavailable(error);
      throw isTemporary(error) ? unavailable(error) : error;
    }
  }

  release(): void {
    this.#client.removeListener("error", this.#onError);
    this.#client.release(this.#lost ?? false);
  }
}

const READ_ONLY = "25006";

/**
 * SQLSTATE (PostgreSQL's documentation, appendix A): connection, transaction rollback, resources, operator
 * intervention, system; read-only server, transaction ended for idling, lock timeout.
 */
const TEMPORARY = /^(?:08|40|53|57|58)|^(?:25006|25P03|25P04|55P03)$/;

function isTemporary({ code }: pg.DatabaseError): boolean {
  return code !== undefined && TEMPORARY.test(code);
}

function unavailable(error: unknown): StoreUnavailable {
  return new StoreUnavailable(`database: ${describeError(error)}`, { cause: error });
}

/** Describes an error of the server or the connection in one line. */
export function describeError(error: unknown): string {
  const { code = "", message, path } = error as NodeJS.ErrnoException;
  if (code === "" && /timeout/i.test(message)) return "no response in time"; // errors of pg itself have no code
  if (/client password must be a string/.test(message)) return "the server requires a password, but the URL has none";
  return path === undefined ? reasonOf(error) : `${path}: ${reasonOf(error)}`;
}
