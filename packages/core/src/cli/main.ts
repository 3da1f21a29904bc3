import { Command } from "commander";
import { VERSION } from "../index.ts";
import { appsCommand } from "./commands/apps.ts";
import { backupCommand, restoreCommand } from "./commands/backup.ts";
import { explainCommand } from "./commands/explain.ts";
import { keysCommand } from "./commands/keys.ts";
import { policyCommand } from "./commands/policy.ts";
import { revokeCommand } from "./commands/revoke.ts";
import { servicesCommand } from "./commands/services.ts";
import { startCommand } from "./commands/start.ts";

const program = new Command("countersign")
  .description("The authority of Countersign: holds signing keys, issues tokens, publishes the key set.")
  .version(VERSION)
  .addCommand(startCommand())
  .addCommand(appsCommand())
  .addCommand(keysCommand())
  .addCommand(revokeCommand())
  .addCommand(servicesCommand())
  .addCommand(policyCommand())
  .addCommand(explainCommand())
  .addCommand(backupCommand())
  .addCommand(restoreCommand());

/** A command inherits nothing from the one that it is added to. */
function pointToHelp(command: Command): void {
  command.showHelpAfterError("(add --help for what there is)");
  for (const one of command.commands) pointToHelp(one);
}
pointToHelp(program);

await program.parseAsync();
