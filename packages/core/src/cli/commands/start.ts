import { Command } from "commander";
import { serve, type RunningCore } from "../../composition/serve.ts";
import { resolveConfig, type CoreOptions } from "../../config/config.ts";
import { StartupError } from "../../ports/startup-error.ts";
import { examples } from "../terminal/app-command.ts";
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

const ENVIRONMENT = `Environment:
  COUNTERSIGN_MASTER_KEY       master keys (32 bytes, base64url), comma-separated, current one first
  COUNTERSIGN_MASTER_KEY_FILE  file with the master keys, one a line [default: in data directory]
  COUNTERSIGN_POOL_SIZE        maximum number of PostgreSQL connections [default: 8]
  COUNTERSIGN_ALGORITHMS       signing algorithms: RS256, ES256, Ed25519 [default: RS256,ES256]
  COUNTERSIGN_MAX_RING_AGE     seconds to issue tokens from memory without the store [default: 3600]
  COUNTERSIGN_ROTATION         key rotation in seconds, as JSON with any of these members [default:
    {"lead":600,"period":604800,"hold":2592000,"jwksMaxAge":60,"instanceRefresh":5,"clockSkew":30}]`;

const EXAMPLES = [
  "countersign start",
  'COUNTERSIGN_API_KEYS="$CORE_API_KEY" countersign start --port 8080 --data-dir /var/lib/countersign',
  'COUNTERSIGN_DATABASE="$DATABASE_URL" COUNTERSIGN_MASTER_KEY="$MASTER_KEY" countersign start',
];

const NOTE = `Options override environment variables; --data-dir also overrides COUNTERSIGN_DATABASE.
Pass keys and passwords in environment variables: other users can see command-line arguments.`;

export function startCommand(cli: CliProcess): Command {
  return new Command("start")
    .description("Start the core server")
    .option("--port <number>", "port to listen on; 0 selects a free port [env: COUNTERSIGN_PORT, default: 3567]")
    .option("--host <address>", "address to listen on [env: COUNTERSIGN_HOST, default: 127.0.0.1]")
    .option(
      "--data-dir <directory>",
      "directory for the database and the master key [env: COUNTERSIGN_DATA_DIR, default: ./.countersign]",
    )
    .option(
      "--database <url>",
      "PostgreSQL for several instances, postgres://user:password@host:port/name; needs a master key " +
        "[env: COUNTERSIGN_DATABASE, default: an embedded database in the data directory]",
    )
    .option(
      "--api-key <key>",
      "API key for the driver interface; repeatable [env: COUNTERSIGN_API_KEYS, comma-separated]",
      collect,
    )
    .option(
      "--admin-key <key>",
      "key for the admin API; repeatable [env: COUNTERSIGN_ADMIN_KEYS, comma-separated]",
      collect,
    )
    .option(
      "--public-url <url>",
      "public base URL, used as the OAuth issuer " +
        "[env: COUNTERSIGN_PUBLIC_URL, default: http://HOST:PORT on loopback, otherwise OAuth is off]",
    )
    .addHelpText("after", `\n${ENVIRONMENT}\n${examples(...EXAMPLES)}\n\n${NOTE}`)
    .action(start(cli));
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** The flag of an option, such as `--api-key` for `apiKeys`. */
function flagOf(option: string): string {
  return `--${option.replace(/s$/, "").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

const start = (cli: CliProcess) => async (flags: StartFlags) => {
  const { port, host, dataDir, database, apiKey, adminKey, publicUrl } = flags;
  const options: CoreOptions = { port, host, dataDir, database, apiKeys: apiKey, adminKeys: adminKey, publicUrl };
  const log = createLogger(cli);
  let core: RunningCore;
  try {
    core = await serve(resolveConfig(options, cli.env, { optionName: flagOf }), { log, environment: cli.env });
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
