import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Command } from "commander";
import { AdminError, type AdminTarget } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { quote } from "../process/quote.ts";

export interface AppFlags extends AdminTarget {
  app: string;
  json?: boolean;
  yes?: boolean;
}

/** Adds the options that select a core. */
export function withTarget(command: Command): Command {
  return command
    .option(
      "--url <url>",
      "URL of a running core; reads the admin key from COUNTERSIGN_ADMIN_KEY [env: COUNTERSIGN_URL]",
    )
    .option(
      "--data-dir <directory>",
      "data directory of a local core, running or stopped [env: COUNTERSIGN_DATA_DIR, default: ./.countersign]; " +
        "uses PostgreSQL if COUNTERSIGN_DATABASE is set",
    );
}

/** Creates a command that manages one app of one core. */
export function appCommand(name: string, description: string): Command {
  return withTarget(new Command(name).description(description))
    .option("--app <id>", "app ID [default: public]", "public")
    .option("--json", "print the admin API response as JSON");
}

/** The help text that lists invocations. */
export function examples(...commands: readonly string[]): string {
  return `\nExamples:\n${commands.map((command) => `  ${command}`).join("\n")}`;
}

export const basePath = (app: string) => `/apps/${encodeURIComponent(app)}`;

/** Reads a file, or standard input if the name is `-`. */
export async function readInput(cli: CliProcess, file: string): Promise<string> {
  if (file === "-") return text(cli.stdin);
  return readFile(file, "utf8").catch((error: Error) => {
    throw new AdminError(`cannot read ${file}: ${error.message}`);
  });
}

/** Parses the date in an option. Returns ISO 8601. */
export function dateIn(value: string, option: string): string {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) {
    throw new AdminError(`${option}: expected a date such as 2027-01-31T00:00:00Z, got ${quote(value)}`);
  }
  return date.toISOString();
}
