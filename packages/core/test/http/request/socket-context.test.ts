// Connections around a response: unread bodies, early disconnects, pipelining.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ADMIN_KEY, API_KEY, startTestCore, type TestCore } from "../../support/core.ts";
import { recordedLog } from "../../support/log.ts";

const log = recordedLog();
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({}, { log });
});

async function open(): Promise<{ socket: Socket; received: (text: string) => Promise<string> }> {
  const socket = connect(core.port, "127.0.0.1").setEncoding("latin1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {}); // A reset also closes the connection.
  let text = "";
  socket.on("data", (chunk: string) => (text += chunk));
  await once(socket, "connect");
  return {
    socket,
    /** Waits until this has arrived, and returns all output since the last call. */
    async received(expected) {
      while (!text.includes(expected)) await once(socket, "data");
      const all = text;
      text = "";
      return all;
    },
  };
}

const KEY = `api-key: ${API_KEY}`;
const head = (requestLine: string, ...headers: string[]) =>
  [`${requestLine} HTTP/1.1`, "Host: core.test", ...headers, "", ""].join("\r\n");
const HELLO = head("GET /hello");
const CHUNK = `1000\r\n${" ".repeat(0x1000)}\r\n`;

describe("a body that the core does not read", () => {
  it.each([
    ["without a key", head("POST /recipe/jwt", "Content-Length: 60000") + " ".repeat(60_000), "401 Unauthorized"],
    [
      "too large",
      head("POST /recipe/jwt", KEY, "Content-Length: 900000") + " ".repeat(900_000),
      "413 Payload Too Large",
    ],
    [
      "too large, in chunks",
      `${head("POST /recipe/jwt", KEY, "Transfer-Encoding: chunked")}${CHUNK.repeat(200)}0\r\n\r\n`,
      "413 Payload Too Large",
    ],
    ["of a GET", `${head("GET /hello", "Content-Length: 60000")}${" ".repeat(60_000)}`, "200 OK"],
    ["on an unknown path", `${head("PUT /nothing", KEY, "Content-Length: 9")}123456789`, "404 Not Found"],
    ["of an OAuth request", `${head("PUT /oauth/token", "Content-Length: 9")}123456789`, "405 Method Not Allowed"],
    ["of an admin request", `${head("PUT /admin/v1/status", "Content-Length: 9")}123456789`, "401 Unauthorized"],
  ])("%s leaves the connection usable", async (_what, request, status) => {
    const { socket, received } = await open();
    socket.write(request);
    expect(await received("\r\n\r\n")).toMatch(new RegExp(`^HTTP/1.1 ${status}\r\n`));
    socket.write(HELLO);
    expect(await received("\r\n\r\nHello")).toContain("HTTP/1.1 200 OK\r\n");
  });

  it.each([
    ["declared", head("POST /recipe/jwt", KEY, "Content-Length: 1000000000")],
    ["in chunks without end", head("POST /recipe/jwt", "Transfer-Encoding: chunked") + CHUNK],
  ])("closes the connection if it does not end soon: %s", async (_what, request) => {
    const { socket, received } = await open();
    const closed = once(socket, "close");
    socket.write(request);
    expect(await received("\r\n\r\n")).toMatch(/^HTTP\/1.1 (413|401) /);
    const began = performance.now();
    await closed;
    expect(performance.now() - began).toBeLessThan(10_000); // requestTimeout would take 15 s
  });
});

describe("a client that disconnects early", () => {
  it.each([
    ["POST /recipe/jwt", KEY],
    ["POST /oauth/token", "content-type: application/x-www-form-urlencoded"],
    ["POST /admin/v1/apps/public/services", `api-key: ${ADMIN_KEY}`],
    ["PUT /recipe/multitenancy/app/v2", `api-key: ${ADMIN_KEY}`],
  ])("in the body of %s causes no error", async (requestLine, header) => {
    const { socket, received } = await open();
    socket.write(head(requestLine, header, "Content-Length: 100", "Expect: 100-continue"));
    await received("100 Continue");
    socket.write("{");
    socket.resetAndDestroy();
    await once(socket, "close");
    const next = await open();
    next.socket.write(HELLO);
    await next.received("Hello");
    expect(log.lines.filter((line) => line.startsWith("error"))).toEqual([]);
  });
});

describe("a connection", () => {
  it("responds to pipelined requests in order", async () => {
    const { socket, received } = await open();
    socket.write(head("GET /.well-known/jwks.json") + head("GET /nothing") + head("HEAD /hello") + HELLO);
    const text = await received("\r\n\r\nHello");
    expect([...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status)).toEqual(["200", "401", "200", "200"]);
  });

  it("has a content-length in every response, for HEAD the one of GET", async () => {
    const { socket, received } = await open();
    for (const [request, length] of [
      [HELLO, 5],
      [head("HEAD /hello"), 5],
      [head("GET /nothing"), "Invalid API key".length],
      [head("PUT /admin/v1/status", `api-key: ${ADMIN_KEY}`), 61],
    ] as const) {
      socket.write(request);
      expect(await received("\r\n\r\n")).toContain(`\r\ncontent-length: ${length}\r\n`);
    }
  });

  it("of HTTP/1.0 gets a response, and 400 without a Host", async () => {
    const { socket, received } = await open();
    socket.write("GET /hello HTTP/1.0\r\nHost: core.test\r\n\r\n");
    expect(await received("Hello")).toContain("200 OK");
    const other = await open();
    other.socket.write("GET /hello HTTP/1.0\r\n\r\n");
    expect(await other.received("\r\n\r\n")).toContain("400 Bad Request");
  });
});

describe("a client that reads no response", () => {
  it("cannot make the core discard a body without end", async () => {
    const { socket } = await open();
    socket.pause();
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    onTestFinished(() => void process.off("warning", onWarning));
    socket.write(head("GET /.well-known/jwks-all.json").repeat(2_000));
    socket.write(head("POST /hello", "Transfer-Encoding: chunked"));
    const chunk = `100000\r\n${" ".repeat(0x100000)}\r\n`;
    const accepted = () => socket.bytesWritten - socket.writableLength;
    // The core stops after 500 ms or 64 MiB. Then nothing drains the socket.
    while (accepted() < 96 * 1024 * 1024) {
      if (socket.write(chunk)) continue;
      const drained = once(socket, "drain", { signal: AbortSignal.timeout(1_500) });
      if ((await drained.catch(() => "stopped")) === "stopped") break;
    }
    expect(accepted()).toBeLessThan(96 * 1024 * 1024);
    expect(warnings).toEqual([]);
  });
});
