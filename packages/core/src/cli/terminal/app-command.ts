import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Command } from "commander";
import { AdminError, type AdminTarget } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";

export interface AppFlags extends AdminTarget {
  app: string;
  json?: boolean;
  yes?: boolean;
}

/** Adds the options that select a core. */
export function withTarget(command: Command): Command {
  return command
    .option("--url <url>", "core to administer; its admin key is read from COUNTERSIGN_ADMIN_KEY (COUNTERSIGN_URL)")
    .option(
      "--data-dir <directory>",
      "or the data directory of one on this machine, running or not (COUNTERSIGN_DATA_DIR; default ./.countersign); " +
        "COUNTERSIGN_DATABASE names a PostgreSQL instead. Set COUNTERSIGN_MASTER_KEY as that core has it",
    );
}

/** A command about one app of one core. */
export function appCommand(name: string, description: string): Command {
  return withTarget(new Command(name).description(description))
    .option("--app <id>", "app it is about", "public")
    .option("--json", "print what the admin API answers");
}

export const basePath = (app: string) => `/apps/${encodeURIComponent(app)}`;

/** Reads a file, or standard input if the name is `-`. */
export async function readInput(cli: CliProcess, file: string): Promise<string> {
  if (file === "-") return text(cli.stdin);
  return readFile(file, "utf8").catch((error: Error) => {
    throw new AdminError(`cannot read ${file}: ${error.message}`);
  });
}

export function dateIn(value: string, flag: string): string {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) throw new AdminError(`${flag}: a date such as 2027-01-31T00:00:00Z was expected`);
  return date.toISOString();
}
