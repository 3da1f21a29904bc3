import { Command, CommanderError } from "commander";
import { VERSION } from "../index.ts";
import { appsCommand } from "./commands/apps.ts";
import { backupCommand, restoreCommand } from "./commands/backup.ts";
import { explainCommand } from "./commands/explain.ts";
import { keysCommand } from "./commands/keys.ts";
import { policyCommand } from "./commands/policy.ts";
import { revokeCommand } from "./commands/revoke.ts";
import { servicesCommand } from "./commands/services.ts";
import { startCommand } from "./commands/start.ts";
import type { CliProcess } from "./process/cli-process.ts";
import { examples } from "./terminal/app-command.ts";

/**
 * Runs a `countersign` command and sets the exit code of `cli`.
 *
 * @param args the arguments after the program's name
 * @param cli where the command reads and writes; default: this process
 */
export async function run(args: readonly string[], cli: CliProcess = process): Promise<void> {
  try {
    await createProgram(cli).parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    cli.exitCode = error.exitCode; // Commander has already printed the help text or the error
  }
}

/** Builds the command tree, configured to write to `cli` and to throw instead of exiting. */
export function createProgram(cli: CliProcess): Command {
  const program = new Command("countersign")
    .description("Run and administer a Countersign core")
    .version(VERSION)
    .addHelpText(
      "after",
      `
Environment of all commands but start and explain:
  COUNTERSIGN_URL         URL of a running core
  COUNTERSIGN_ADMIN_KEY   admin key of that core
  COUNTERSIGN_DATA_DIR    data directory of a local core (default: ./.countersign)
  COUNTERSIGN_DATABASE    PostgreSQL of a local core, instead of a data directory
  COUNTERSIGN_MASTER_KEY  master keys of a local core, unless they are in its data directory
${examples("countersign start", "countersign keys list", "countersign policy apply policy.yaml")}`,
    )
    .addCommand(startCommand(cli))
    .addCommand(appsCommand(cli))
    .addCommand(keysCommand(cli))
    .addCommand(revokeCommand(cli))
    .addCommand(servicesCommand(cli))
    .addCommand(policyCommand(cli))
    .addCommand(explainCommand(cli))
    .addCommand(backupCommand(cli))
    .addCommand(restoreCommand(cli));
  configure(program, cli);
  return program;
}

const MAX_HELP_WIDTH = 100;

/** Applies the shared settings to a command and its subcommands: `addCommand` does not pass them on. */
function configure(command: Command, cli: CliProcess): void {
  const width = Math.min(cli.stdout.columns ?? MAX_HELP_WIDTH, MAX_HELP_WIDTH);
  command
    .showHelpAfterError("Run with --help for usage.")
    .configureHelp({ optionDescription: (option) => option.description }) // the descriptions state the defaults
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.stdout.write(text),
      writeErr: (text) => cli.stderr.write(text),
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
    });
  for (const subcommand of command.commands) configure(subcommand, cli);
}
