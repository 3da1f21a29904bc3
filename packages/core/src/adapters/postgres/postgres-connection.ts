import pg from "pg";

/** Milliseconds after which the server cancels a statement. The client times out a second later. */
const SERVER_TIMEOUT = 5_000;

/**
 * Reads the settings of the URL again for each connection, because the certificates that it names can be renewed. If a
 * file is missing later, uses the previous settings: the driver throws where nothing catches it.
 *
 * @throws if the settings cannot be read the first time
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
      // If this matters, connecting fails.
    }
    return last;
  };
}

/**
 * Prepares a new connection. Rejects a standby, because it can serve outdated keys. Sets the timeouts here and not as
 * connection parameters, because poolers such as PgBouncer reject unknown ones.
 *
 * @throws if the server is read-only
 */
export async function prepareSession(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>(
    `select pg_is_in_recovery() as standby,
       set_config('statement_timeout', $1, false),
       set_config('lock_timeout', $1, false),
       set_config('idle_in_transaction_session_timeout', $1, false)`,
    [String(SERVER_TIMEOUT)],
  );
  if (rows[0]?.standby !== false) throw new Error("the server is read-only: a standby that has not been promoted");
}
