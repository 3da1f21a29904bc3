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

/**
 * Runs a `countersign` command and sets the exit code of `cli`.
 *
 * @param args the arguments after the program's name
 * @param cli where the command reads and writes; default: this process
 */
export async function run(args: readonly string[], cli: CliProcess = process): Promise<void> {
  const program = new Command("countersign")
    .description("The authority of Countersign: holds signing keys, issues tokens, publishes the key set.")
    .version(VERSION)
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
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    cli.exitCode = error.exitCode; // Commander has already printed the help text or the error
  }
}

const MAX_HELP_WIDTH = 100;

/** Applies the shared settings to a command and its subcommands: `addCommand` does not pass them on. */
function configure(command: Command, cli: CliProcess): void {
  const width = Math.min(cli.stdout.columns ?? MAX_HELP_WIDTH, MAX_HELP_WIDTH);
  command
    .showHelpAfterError("(add --help for what there is)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.stdout.write(text),
      writeErr: (text) => cli.stderr.write(text),
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
    });
  for (const subcommand of command.commands) configure(subcommand, cli);
}
