import { createInterface } from "node:readline";
import pc from "picocolors";
import { AdminError } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";

/** Prints columns, each as wide as its widest cell. Color codes do not count. */
export function printTable(cli: CliProcess, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => plain(row[i] ?? "").length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell + " ".repeat(widths[i]! - plain(cell).length))
      .join("  ")
      .trimEnd();
  print(cli, pc.dim(line(head)));
  for (const row of rows) print(cli, line(row));
}

export function print(cli: CliProcess, text: string): void {
  cli.stdout.write(`${text}\n`);
}

/** Formats an ISO 8601 date for people. */
export function printable(date: string | null): string {
  return date === null ? "-" : date.replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/** Formats a number of things, such as `1 key` or `2 keys`. */
export function countOf(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Prints a warning and asks for confirmation. Outside a terminal, only `--yes` confirms.
 *
 * @throws AdminError if not confirmed
 */
export async function confirm(cli: CliProcess, warning: string, yes: boolean | undefined): Promise<void> {
  const { stdin: input, stderr: output } = cli;
  output.write(`${pc.yellow(warning)}\n`);
  if (yes === true) return;
  if (input.isTTY !== true) throw new AdminError("aborted; pass --yes to confirm non-interactively");
  const dialogue = createInterface({ input, output });
  const reply = await new Promise<string>((resolve) => {
    dialogue.once("close", () => resolve("")); // Ctrl-C or Ctrl-D
    dialogue.question("Continue? [y/N] ", resolve);
  });
  dialogue.close();
  if (!/^y(?:es)?$/i.test(reply.trim())) throw new AdminError("aborted");
}

function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- color codes are control characters
  return text.replace(/\x1b\[\d+m/g, "");
}
