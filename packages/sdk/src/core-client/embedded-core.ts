import { fileURLToPath } from "node:url";
import type { Fetch } from "../runtime/bounded-fetch.ts";
import { CountersignError } from "../protocol/errors.ts";

/** The origin of requests to an embedded core. `.invalid` never resolves (RFC 6761), so no request can leave the process. */
export const EMBEDDED_ORIGIN = "http://countersign-core.invalid";

/** The part of `countersign-core` that this package uses. Loaded at run time, because the SDK has no dependencies. */
interface CorePackage {
  embedCore(options: { dataDir: string }): Promise<EmbeddedCore>;
}

interface EmbeddedCore {
  fetch: Fetch;
  close(): Promise<void>;
}

/**
 * Connects to a core in this process through its HTTP interface, without a socket. The first request starts the core. Other
 * processes can share its directory.
 */
export function connectEmbeddedCore(connectionURI: string): {
  hosts: readonly string[];
  send: Fetch;
  close(): Promise<void>;
} {
  const dataDir = directoryOf(connectionURI);
  let core: Promise<EmbeddedCore> | undefined;
  const start = () => {
    core ??= startCore(dataDir).catch((error: unknown) => {
      core = undefined; // the next request tries again
      throw error;
    });
    return core;
  };
  return {
    hosts: [EMBEDDED_ORIGIN],
    send: async (request) => (await start()).fetch(request),
    close: async () => {
      const running = core;
      core = undefined;
      await running?.then((one) => one.close());
    },
  };
}

/** `file:./relative`, `file:/absolute` and `file:///absolute`. */
function directoryOf(connectionURI: string): string {
  try {
    const path = connectionURI.startsWith("file://")
      ? fileURLToPath(connectionURI)
      : connectionURI.slice("file:".length);
    if (path !== "") return path;
  } catch {
    // A file URL cannot contain a relative path.
  }
  throw new CountersignError(
    "invalid_option",
    "connectionURI: expected a directory after file:, such as file:./countersign or file:///var/lib/countersign",
  );
}

async function startCore(dataDir: string): Promise<EmbeddedCore> {
  const { embedCore } = await loadCore();
  return embedCore({ dataDir }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CountersignError("core_unreachable", `failed to start the embedded core: ${reason}`, { cause: error });
  });
}

async function loadCore(): Promise<CorePackage> {
  const name = "countersign-core";
  try {
    return (await import(name)) as CorePackage;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "ERR_MODULE_NOT_FOUND" || !message.includes(`'${name}'`)) throw error;
    throw new CountersignError(
      "core_not_installed",
      "connectionURI: file: requires the package countersign-core; run 'npm install countersign-core'",
      { cause: error },
    );
  }
}
