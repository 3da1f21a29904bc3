// Runs once per `vitest` run, before the first test file.
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { startServer, type RunningServer } from "../../packages/core/test/support/postgres-server.ts";

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  reportMissingVectors();

  // PostgreSQL takes seconds to start and many files do without, so the first file that needs it starts it, by a
  // request to this server: test files run in other processes.
  let postgres: Promise<RunningServer> | undefined;
  const starter = createServer((_request, response) => {
    postgres ??= startServer();
    postgres.then(
      ({ url }) => response.end(url),
      (error: Error) => response.writeHead(500).end(error.message),
    );
  });
  await new Promise<void>((resolve) => starter.listen(0, "127.0.0.1", resolve));
  provide("postgresStarter", `http://127.0.0.1:${(starter.address() as AddressInfo).port}`);

  return async () => {
    starter.close();
    await postgres?.then((server) => server.close()).catch(() => {});
  };
}

/** Public test vectors are not part of the repository. The tests that read them pass without. */
function reportMissingVectors(): void {
  const folder =
    process.env["COUNTERSIGN_VECTORS"] ?? fileURLToPath(new URL("../../../shared/vectors", import.meta.url));
  if (existsSync(folder)) return;
  process.stderr.write(
    "note: no test vectors; set COUNTERSIGN_VECTORS to their folder to run the tests that read them\n",
  );
}
