import { expect, test } from "vitest";
import { isLoopbackHost } from "../../src/protocol/loopback.ts";

test.each(["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "127.255.255.255", "::1", "[::1]"])(
  "%s is this machine",
  (host) => expect(isLoopbackHost(host)).toBe(true),
);

test.each([
  "",
  "1",
  "127.1",
  "0x7f.1",
  "127.0.0.256",
  "127.0.0.01",
  "128.0.0.1",
  "0.0.0.0",
  "::2",
  "[::1",
  "localhost.test",
  "127.evil.test",
  "127.0.0.1.evil.test",
  "127.0.0.1\n",
])("%j is not recognized as this machine", (host) => expect(isLoopbackHost(host)).toBe(false));

test.each([
  ["http://localhost:1", true],
  ["http://127.0.0.1", true],
  ["http://127.1", true],
  ["http://[::1]:1", true],
  ["http://[0:0::1]", true],
  ["http://localhost.test", false],
  ["http://128.0.0.1", false],
  ["http://0.0.0.0", false],
])("the host of the URL %s is this machine: %s", (url, expected) =>
  expect(isLoopbackHost(new URL(url).hostname)).toBe(expected),
);
