import { Command } from "commander";
import { VERSION } from "../index.ts";
import { startCommand } from "./commands/start.ts";

const program = new Command("countersign")
  .description("The authority of Countersign: holds signing keys, issues tokens, publishes the key set.")
  .version(VERSION)
  .addCommand(startCommand())
  .showHelpAfterError("(add --help for what there is)");

await program.parseAsync();
