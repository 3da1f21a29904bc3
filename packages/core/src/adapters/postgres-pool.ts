// A pool for Kysely that tells what may pass from what is wrong, and keeps no connection that is in doubt.
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import pg from "pg";
import { StoreUnavailable } from "../ports/store.ts";

/** Every error of its connections that may pass is StoreUnavailable; a mistake of ours stays what it is. */
export function createPostgresPool(config: pg.PoolConfig): PostgresPool {
  const pool = new pg.Pool(config);
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
      throw mayPass(error) ? unavailable(error) : error;
    }
  }

  release(): void {
    this.#client.removeListener("error", this.#onError);
    this.#client.release(this.#lost ?? false);
  }
}

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

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "the host name cannot be resolved",
  EAI_AGAIN: "the host name cannot be resolved",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the host cannot be reached",
};

/** One line for an error of the server or of the way to it. */
export function wordsFor(error: unknown): string {
  // Where a name has several addresses, the error is a list of errors and has no message.
  const { code = "", message } = error as NodeJS.ErrnoException;
  const words = WORDS[code];
  if (words !== undefined) return words;
  if (code === "" && /timeout/i.test(message)) return "no answer in time"; // pg's own words, which have no code
  if (/client password must be a string/.test(message)) return "the server wants a password, and none is given";
  return message.replace(/\s+/g, " ") || code || "unknown error";
}
