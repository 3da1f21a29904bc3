/** The parts of `process` that commands use. Tests pass their own, to run a command without starting a process. */
export interface CliProcess {
  readonly stdin: NodeJS.ReadableStream & { isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  readonly stderr: NodeJS.WritableStream & { isTTY?: boolean; fd?: number };
  readonly env: NodeJS.ProcessEnv;
  exitCode?: number | string | null | undefined;
  exit(code: number): void;
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

/** Writes an error to stderr, each of its lines after the program's name. */
export function printError(cli: CliProcess, message: string): void {
  for (const line of message.split("\n")) cli.stderr.write(`countersign: ${line}\n`);
}
