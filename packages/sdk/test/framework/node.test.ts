import { createServer as createHttp2Server } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { middleware, verifyMicroservice } from "../../src/framework/node.ts";
import type { VerifierEvent } from "../../src/index.ts";
import { describeFramework } from "../support/framework-suite.ts";
import { listen, readBody, sendRaw } from "../support/http.ts";
import { edKey, tokenBy } from "../support/keys.ts";
import { serveKeys } from "../support/key-server.ts";

describeFramework(
  "node:http",
  ({ front, guard, handle, own }) => {
    const stock = verifyMicroservice(guard ?? {})(async (req, res) => {
      const body: unknown = req.method === "POST" ? JSON.parse(await readBody(req)) : undefined;
      res.end(JSON.stringify(handle(req.caller, body)));
    });
    const handler: typeof stock = (req, res) => {
      if (req.url!.startsWith("/stock")) return stock(req, res);
      if (req.url !== "/own") return void res.writeHead(404).end();
      res.end(JSON.stringify(own()));
    };
    return front === undefined ? handler : middleware(front)(handler);
  },
  { hasErrorHandler: false },
);

test("H1 a second Authorization after more fields than Node keeps is rejected", async () => {
  const key = edKey();
  const { jwksUri } = await serveKeys(key);
  const { port } = await listen(verifyMicroservice({ jwksUri })((_req, res) => void res.end()));
  const good = `Authorization: Bearer ${tokenBy(key, { iat: 0, exp: 4_102_444_800 })}`;
  const statusWith = async (others: number) => {
    const fields = [good, ...Array.from({ length: others }, () => "a:1"), "Authorization: Bearer x"];
    return (await sendRaw(port, ["GET /stock HTTP/1.1", "Host: a", ...fields])).status;
  };
  expect((await sendRaw(port, ["GET /stock HTTP/1.1", "Host: a", good])).status).toBe(200);
  for (const others of [0, 900, 997, 998, 999, 1_000, 1_500]) expect(await statusWith(others), `${others}`).toBe(400);
});

test("H1 two authorization fields over HTTP/2, of which node:http2 exposes the first, are rejected", async () => {
  const key = edKey();
  const { jwksUri } = await serveKeys(key);
  const reported: VerifierEvent[] = [];
  const handled: string[][] = [];
  const guard = verifyMicroservice({ jwksUri, onEvent: (event) => void reported.push(event) });
  const server = createHttp2Server(
    guard((req, res) => {
      handled.push(req.rawHeaders);
      res.end();
    }),
  );
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const good = `Bearer ${tokenBy(key, { iat: 0, exp: 4_102_444_800 })}`;

  await sendHttp2(port, [good]);
  expect([handled.length, reported.filter(({ type }) => type === "refused")]).toEqual([1, []]);
  await sendHttp2(port, [good, "Bearer x"]);
  expect(handled).toHaveLength(1);
  expect(reported.at(-1)).toMatchObject({ type: "refused", reason: "authorization_malformed" });
});

/** Sends these authorization fields as raw frames, because the node:http2 client refuses to send two. */
async function sendHttp2(port: number, authorizations: readonly string[]): Promise<void> {
  const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  // Literal header fields without indexing (RFC 7541 section 6.2.2), lengths as 7-bit prefixed integers (section 5.1).
  const text = (value: string) => {
    const size = [Math.min(value.length, 127)];
    for (let rest = value.length - 127; rest >= 0; rest = rest < 128 ? -1 : rest >> 7)
      size.push(rest < 128 ? rest : (rest & 127) | 128);
    return Buffer.concat([Buffer.from(size), Buffer.from(value, "latin1")]);
  };
  const fields = [
    [":method", "GET"],
    [":path", "/"],
    [":scheme", "http"],
    [":authority", "a"],
    ...authorizations.map((value) => ["authorization", value]),
  ].map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name!), text(value!)]));
  const [SETTINGS, HEADERS, END_STREAM_AND_HEADERS] = [4, 1, 5];

  const socket = connect(port, "127.0.0.1");
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
  socket.write(frame(HEADERS, END_STREAM_AND_HEADERS, 1, Buffer.concat(fields)));
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    for (let at = 0; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3))
      if (received[at + 3] === HEADERS) return void socket.destroy();
  }
}

test("errors cause a warning, because node:http has no log", async () => {
  const warn = vi.spyOn(process, "emitWarning").mockReturnValue();
  const { url } = await listen(verifyMicroservice()(() => expect.unreachable()));
  const answer = await fetch(url, { headers: { authorization: "Bearer c2VjcmV0" } });
  expect([answer.status, await answer.text()]).toEqual([500, '{"message":"Internal Server Error"}']);
  expect(warn).toHaveBeenCalledWith(expect.stringContaining("call init"), { code: "COUNTERSIGN_REQUEST_FAILED" });
  expect(JSON.stringify(warn.mock.calls)).not.toContain("c2VjcmV0");
});

test("a response that the service sent before the guard stays unchanged", async () => {
  let fail = (): void => {};
  const failed = new Promise<void>((resolve) => (fail = resolve));
  const keys = await listen((_req, res) => void failed.then(() => res.writeHead(500).end()));
  const token = tokenBy(edKey(), { iat: 0, exp: 4_102_444_800 });
  const reason = await new Promise((resolve, reject) => {
    const stock = verifyMicroservice({
      jwksUri: `${keys.url}/keys.json`,
      onEvent: (event) => event.type === "refused" && resolve(event.reason),
    })(() => reject(new Error("the handler ran")));
    listen((req, res) => {
      stock(req, res);
      res.writeHead(504).end();
    })
      .then(async ({ url }) => {
        expect((await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status).toBe(504);
        fail();
      })
      .catch(reject);
  });
  expect(reason).toBe("keys_unavailable");
  await new Promise((resolve) => setImmediate(resolve)); // an error here would be an unhandled rejection, which fails the run
});
