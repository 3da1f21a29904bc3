import { EventEmitter } from "node:events";
import { Readable, Writable } from "node:stream";
import { run } from "../../src/cli/main.ts";
import type { CliProcess } from "../../src/cli/process/cli-process.ts";

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

class CapturedOutput extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** A process that a command runs in: its environment and input are given, its output is captured. */
export class TestProcess extends EventEmitter implements CliProcess {
  readonly stdin: CliProcess["stdin"];
  readonly stdout = new CapturedOutput();
  readonly stderr = new CapturedOutput();
  exitCode: number | undefined;

  constructor(
    readonly env: NodeJS.ProcessEnv = {},
    stdin: CliProcess["stdin"] = Readable.from([]),
  ) {
    super();
    this.stdin = stdin;
  }

  exit(code: number): void {
    this.exitCode = code;
    this.emit("exit");
  }

  result(): CommandResult {
    return { code: this.exitCode ?? 0, stdout: this.stdout.text, stderr: this.stderr.text };
  }
}

/** Runs a command inside this process, with only the given environment. */
export async function runCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  input = "",
): Promise<CommandResult> {
  const cli = new TestProcess(env, Readable.from([input]));
  await run(args, cli);
  return cli.result();
}
