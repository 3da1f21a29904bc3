// How a connection to PostgreSQL is made: with what the URL says now, and never to a server that only reads.
import pg from "pg";

/** Milliseconds. What the server itself gives up; we stop listening to it a second later. */
const SERVER_PATIENCE = 5_000;

/**
 * Reads the URL, and the certificates that it names, for each connection anew: they may have been renewed. The driver
 * throws where one cannot be read, and a pool makes connections where nobody catches that, so what was read before
 * stands in for a file that is gone for a moment.
 *
 * @throws where the URL cannot be read the first time
 */
export function connectionSettings(url: string, base: pg.ClientConfig): () => pg.ClientConfig {
  const read = (): pg.ClientConfig => {
    const { connectionParameters } = new pg.Client({ ...base, connectionString: url }) as unknown as {
      connectionParameters: pg.ClientConfig;
    };
    return { ...base, ...connectionParameters, password: connectionParameters.password };
  };
  let last = read();
  return () => {
    try {
      last = read();
    } catch {
      // The connection itself will tell, if this matters.
    }
    return last;
  };
}

/**
 * Makes a new connection ours. A standby answers reads with yesterday's keys, so it is as good as away. The limits are
 * set here and not when connecting, because a pooler such as PgBouncer lets no unknown ones through.
 *
 * @throws where the server only reads
 */
export async function prepareSession(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>(
    `select pg_is_in_recovery() as standby,
       set_config('statement_timeout', $1, false),
       set_config('lock_timeout', $1, false),
       set_config('idle_in_transaction_session_timeout', $1, false)`,
    [String(SERVER_PATIENCE)],
  );
  if (rows[0]?.standby !== false) throw new Error("it only reads: a standby that has not been promoted");
}
