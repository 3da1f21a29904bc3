import { createServer, type AddressInfo } from "node:net";
import { expect, it, onTestFinished, vi } from "vitest";
import { AdminError, remoteClient } from "../../../src/cli/client/admin-client.ts";
import { ADMIN_KEY } from "../../support/core.ts";

it("gives up a core that does not answer, and does not say that nothing was done", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  onTestFinished(() => void silent.close());
  await new Promise((resolve) => silent.once("listening", resolve));
  vi.stubEnv("COUNTERSIGN_ADMIN_KEY", ADMIN_KEY);
  onTestFinished(() => void vi.unstubAllEnvs());
  const client = remoteClient(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, 300);
  const asking = client.call("POST", "/reseal");
  await expect(asking).rejects.toThrow(AdminError);
  await expect(asking).rejects.toThrow(/has not answered in 0\.3 s; what was asked may be done or not/);
});

it("warns before an admin key goes over a network as plain text (S6)", () => {
  vi.stubEnv("COUNTERSIGN_ADMIN_KEY", ADMIN_KEY);
  onTestFinished(() => void vi.unstubAllEnvs());
  const said: string[] = [];
  const write = vi.spyOn(process.stderr, "write").mockImplementation((line) => said.push(String(line)) > 0);
  onTestFinished(() => write.mockRestore());
  for (const url of ["https://core.internal", "http://127.0.0.1:3567", "http://[::1]:3567", "http://localhost"]) {
    remoteClient(url);
  }
  expect(said).toEqual([]);
  remoteClient("http://core.internal:3567");
  expect(said).toEqual([expect.stringMatching(/the admin key goes to core\.internal as plain text/)]);
});

it.each(["localhost:4610", "core.internal:3567", "ftp://core.internal", "http:core", "//core", "", "http://"])(
  "a --url of %j is refused for its scheme, before a word about the admin key (S6)",
  (url) => {
    vi.stubEnv("COUNTERSIGN_ADMIN_KEY", ADMIN_KEY);
    onTestFinished(() => void vi.unstubAllEnvs());
    const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    onTestFinished(() => write.mockRestore());
    expect(() => remoteClient(url)).toThrow(
      /^--url: http:\/\/ or https:\/\/ was expected, such as http:\/\/localhost:3567$/,
    );
    expect(write).not.toHaveBeenCalled();
  },
);
