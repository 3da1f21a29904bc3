import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const COUNTERSIGN_BIN = join(ROOT, "packages", "core", "bin", "countersign.js");

/** Leaves out what the machine's own environment sets for a core, and the colors that some CI systems force. */
function cleanEnvironment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^COUNTERSIGN_|^FORCE_COLOR$/.test(name));
  return { ...Object.fromEntries(own), NO_COLOR: "1", ...extra };
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A Node process with its output. */
export class Process {
  readonly child: ChildProcess;
  readonly ended: Promise<Exit>;
  stdout = "";
  stderr = "";

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = ROOT) {
    this.child = spawn(process.execPath, command, {
      cwd,
      env: cleanEnvironment(env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout!.on("data", (chunk) => (this.stdout += String(chunk)));
    this.child.stderr!.on("data", (chunk) => (this.stderr += String(chunk)));
    this.ended = new Promise((resolve) => {
      this.child.on("close", (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }));
    });
  }

  kill(signal: NodeJS.Signals): Promise<Exit> {
    this.child.kill(signal);
    return this.ended;
  }

  /** Resolves to the first match on stdout. */
  prints(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const search = () => {
        const match = pattern.exec(this.stdout);
        if (match !== null) resolve(match);
      };
      this.child.stdout!.on("data", search);
      search();
      void this.ended.then(({ code, stderr }) => reject(new Error(`ended with code ${code}: ${stderr}`)));
    });
  }
}

/** Registers a clean-up: `onTestFinished`, or `afterAll` for what the tests of a file share. */
export type CleanUpLater = (cleanUp: () => void | Promise<void>) => void;

export async function temporaryDirectory(cleanUpLater: CleanUpLater = onTestFinished): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  cleanUpLater(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a core in its own process, which is killed when the test ends. */
export async function startCoreProcess(
  dataDir: string,
  flags: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  cleanUpLater: CleanUpLater = onTestFinished,
): Promise<Process & { url: string }> {
  // The flag --data-dir overrides COUNTERSIGN_DATABASE.
  const shared = env["COUNTERSIGN_DATABASE"] !== undefined;
  const place = shared ? [] : ["--data-dir", dataDir];
  const core = new Process([COUNTERSIGN_BIN, "start", "--port", "0", ...place, ...flags], {
    ...(shared && { COUNTERSIGN_DATA_DIR: dataDir }),
    ...env,
  });
  cleanUpLater(() => void core.kill("SIGKILL"));
  const [, url] = await core.prints(/^countersign core listening on (http:\/\/\S+)$/m);
  return Object.assign(core, { url: url! });
}
