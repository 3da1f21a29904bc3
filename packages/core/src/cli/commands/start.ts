import { Command } from "commander";
import { startCore, StartupError, type CoreOptions, type RunningCore } from "../../index.ts";
import { createLogger } from "../terminal/logger.ts";
import { print } from "../terminal/output.ts";
import { printError, type CliProcess } from "../process/cli-process.ts";

interface StartFlags {
  port?: string;
  host?: string;
  dataDir?: string;
  database?: string;
  apiKey?: string[];
  adminKey?: string[];
  publicUrl?: string;
}

export function startCommand(cli: CliProcess): Command {
  return new Command("start")
    .description("Start a core that listens, on an embedded store or on PostgreSQL.")
    .option("--port <number>", "port to listen on; 0 picks a free one (COUNTERSIGN_PORT; default 3567)")
    .option("--host <address>", "address to listen on (COUNTERSIGN_HOST; default 127.0.0.1)")
    .option("--data-dir <directory>", "where keys are kept (COUNTERSIGN_DATA_DIR; default ./.countersign)")
    .option(
      "--database <url>",
      "postgres://user:password@host:port/name, for many instances (COUNTERSIGN_DATABASE; default the embedded store)",
    )
    .option(
      "--api-key <key>",
      "key that services must send; repeatable (COUNTERSIGN_API_KEYS, comma separated)",
      collect,
    )
    .option(
      "--admin-key <key>",
      "key for administration; repeatable (COUNTERSIGN_ADMIN_KEYS, comma separated)",
      collect,
    )
    .option(
      "--public-url <url>",
      "where others reach it: the issuer of its OAuth tokens (COUNTERSIGN_PUBLIC_URL; default http://HOST:PORT on " +
        "loopback; elsewhere there is no OAuth without it)",
    )
    .addHelpText(
      "after",
      `
Flags win over the environment, also --data-dir over COUNTERSIGN_DATABASE. Also read: COUNTERSIGN_MASTER_KEY, 32 bytes
as base64url, under which private keys are sealed, or COUNTERSIGN_MASTER_KEY_FILE, a file with it; without either a file
made beside the embedded database is used, and PostgreSQL is refused. There may be several, with commas between them, or
a line each in a file: the first one seals, any of them opens, and 'countersign keys reseal' ends the need for the others.
COUNTERSIGN_POOL_SIZE: connections to PostgreSQL at most (default 8). COUNTERSIGN_ALGORITHMS: what apps sign with that
have not been told otherwise (RS256, ES256, Ed25519; default RS256,ES256). COUNTERSIGN_MAX_RING_AGE: seconds that tokens are
issued from memory while the store is away (default 3600). COUNTERSIGN_ROTATION says when keys change: JSON with seconds for any of lead, period, hold, jwksMaxAge,
instanceRefresh, clockSkew; by default
{"lead":600,"period":604800,"hold":2592000,"jwksMaxAge":60,"instanceRefresh":5,"clockSkew":30}.

Examples:
  countersign start
  COUNTERSIGN_API_KEYS="$CORE_API_KEY" countersign start --port 8080 --data-dir /var/lib/countersign
  COUNTERSIGN_DATABASE="$DATABASE_URL" COUNTERSIGN_MASTER_KEY="$MASTER_KEY" countersign start

A key or a password in a flag is seen by everybody who lists this machine's processes; in the environment it is not.`,
    )
    .action(start(cli));
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

const start = (cli: CliProcess) => async (flags: StartFlags) => {
  const { port, host, dataDir, database, apiKey, adminKey, publicUrl } = flags;
  const options: CoreOptions = { port, host, dataDir, database, apiKeys: apiKey, adminKeys: adminKey, publicUrl };
  const log = createLogger(cli);
  let core: RunningCore;
  try {
    core = await startCore(options, { log, environment: cli.env });
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    printError(cli, error.message);
    return cli.exit(1); // a failed start can leave timers and sockets behind
  }

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) return cli.exit(1); // Second signal: exit immediately.
    stopping = true;
    log.info({ signal }, "finishing requests in flight");
    core.close().then(
      () => cli.exit(0),
      (error: unknown) => {
        log.error({ err: error }, "shutdown failed");
        cli.exit(1);
      },
    );
  };
  cli.on("SIGTERM", stop);
  cli.on("SIGINT", stop);
  print(cli, `countersign core listening on ${core.url}`); // last: a supervisor can send a signal from here on
};
