import { createInterface } from "node:readline";
import pc from "picocolors";
import { AdminError } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";

/** Columns as wide as their widest cell; colours do not count. */
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

/** A date as people read it. */
export function printable(date: string | null): string {
  return date === null ? "-" : date.replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/**
 * Says what will happen and asks, on a terminal; elsewhere only `--yes` agrees.
 *
 * @throws AdminError where nobody agreed
 */
export async function confirm(cli: CliProcess, warning: string, yes: boolean | undefined): Promise<void> {
  const { stdin: input, stderr: output } = cli;
  output.write(`${pc.yellow(warning)}\n`);
  if (yes === true) return;
  if (input.isTTY !== true) throw new AdminError("nothing was done: add --yes to go on without being asked");
  const dialogue = createInterface({ input, output });
  const reply = await new Promise<string>((resolve) => {
    dialogue.once("close", () => resolve("")); // Ctrl-C and Ctrl-D are no answer
    dialogue.question("Go on? [y/N] ", resolve);
  });
  dialogue.close();
  if (!/^y(?:es)?$/i.test(reply.trim())) throw new AdminError("nothing was done");
}

function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- colours are control characters
  return text.replace(/\x1b\[\d+m/g, "");
}
