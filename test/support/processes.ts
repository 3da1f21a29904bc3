import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const COUNTERSIGN_BIN = join(ROOT, "packages", "core", "bin", "countersign.js");

/** Without what the machine's own environment may set for a core, and without colours, which some CI asks for. */
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

/** A process of the test's own, ended with it. */
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

  /** The first match on stdout. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.stdout);
        if (match !== null) resolve(match);
      };
      this.child.stdout!.on("data", look);
      look();
      void this.ended.then(({ code, stderr }) => reject(new Error(`ended with code ${code}: ${stderr}`)));
    });
  }
}

/** When what was made goes away again: with the test, unless several share it. */
type AtEnd = (cleanUp: () => void | Promise<void>) => void;

export async function temporaryDirectory(atEnd: AtEnd = onTestFinished): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  atEnd(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A core as a user starts it. */
export async function startCoreProcess(
  dataDir: string,
  flags: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  atEnd: AtEnd = onTestFinished,
): Promise<Process & { url: string }> {
  // Who names a directory in a flag does not mean the database of the environment.
  const shared = env["COUNTERSIGN_DATABASE"] !== undefined;
  const place = shared ? [] : ["--data-dir", dataDir];
  const core = new Process([COUNTERSIGN_BIN, "start", "--port", "0", ...place, ...flags], {
    ...(shared && { COUNTERSIGN_DATA_DIR: dataDir }),
    ...env,
  });
  atEnd(() => void core.kill("SIGKILL"));
  const [, url] = await core.says(/^countersign core listening on (http:\/\/\S+)$/m);
  return Object.assign(core, { url: url! });
}
