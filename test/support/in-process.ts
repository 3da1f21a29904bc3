// Commands and cores that run inside the test process: the same code as `countersign`, without starting Node.
import { once } from "node:events";
import { onTestFinished } from "vitest";
import { run } from "../../packages/core/src/cli/main.ts";
import { TestProcess, type CommandResult } from "../../packages/core/test/support/cli.ts";
import type { CleanUpLater } from "./processes.ts";

export interface LocalCore {
  readonly url: string;
  readonly stdout: string;
  readonly stderr: string;
  /** Closes the core as a signal does. It then has finished its requests and released its files. */
  stop(): Promise<CommandResult>;
}

/** Runs `countersign start` in this process. It stops when the test ends. */
export async function startCore(
  dataDir: string,
  flags: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  cleanUpLater: CleanUpLater = onTestFinished,
): Promise<LocalCore> {
  const cli = new TestProcess({ COUNTERSIGN_DATA_DIR: dataDir, ...env });
  await run(["start", "--port", "0", ...flags], cli);
  const { code, stdout, stderr } = cli.result();
  const [, url] = /^countersign core listening on (http:\/\/\S+)$/m.exec(stdout) ?? [];
  if (url === undefined) throw new Error(`the core did not start, exit code ${code}: ${stderr}`);
  let stopped: Promise<CommandResult> | undefined;
  const stop = () =>
    (stopped ??= (async () => {
      const exited = once(cli, "exit");
      cli.emit("SIGTERM", "SIGTERM");
      await exited;
      return cli.result();
    })());
  cleanUpLater(async () => void (await stop()));
  return {
    url,
    get stdout() {
      return cli.result().stdout;
    },
    get stderr() {
      return cli.result().stderr;
    },
    stop,
  };
}
