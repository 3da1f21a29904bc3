import { beforeAll, describe, expect, it } from "vitest";
import { API_KEY, expectText, nested, partsOf, startTestCore, type Answer, type TestCore } from "../../support/core.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";

let core: TestCore;
let epoch: number;
beforeAll(async () => {
  core = await startTestCore();
  epoch = await core.epoch();
});

const BODY_LIMIT = 65_536;
const send = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
  core.call("/recipe/jwt", { method: "POST", body, headers });
const bodyWith = (payload: string, rest = "") =>
  `{"payload":${payload},"algorithm":"RS256","jwksDomain":"https://a.test","validity":60${rest}}`;

/** Returns a valid body of exactly this many bytes, padded with spaces. */
const bodyOfSize = (bytes: number) => bodyWith("{}").padEnd(bytes, " ");

describe("a body that is not JSON", () => {
  const good = bodyWith("{}");
  const bad: [string, string | Uint8Array][] = [
    ["nothing", ""],
    ["spaces", "   "],
    ["a word", "hello"],
    ["half an object", good.slice(0, -1)],
    ["something after the object", `${good}x`],
    ["two objects", good + good],
    ["a trailing comma", good.replace("60}", "60,}")],
    ["single quotes", good.replaceAll('"', "'")],
    ["a comment", `/* */${good}`],
    ["NaN", good.replace("60", "NaN")],
    ["a byte order mark", `\ufeff${good}`],
    ["a raw control character in a string", good.replace("https", "h\n")],
    ["a form", "payload=%7B%7D&algorithm=RS256"],
    ["invalid UTF-8", Buffer.concat([Buffer.from('{"payload":{"a":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}}')])],
    ["overlong UTF-8", Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xc0, 0xaf), Buffer.from('"}')])],
    ["truncated UTF-8", Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xe2, 0x82)])],
    ["UTF-16", Buffer.from(good, "utf16le")],
    ["NUL bytes", Buffer.alloc(100)],
  ];
  for (const [what, body] of bad) {
    it(`rejects ${what} (T21)`, async () => {
      expectText(await send(body), 400, "Invalid Json Input");
    });
  }

  for (const body of ["[]", "null", "true", "1", '"text"', `[${good}]`]) {
    it(`rejects ${body.slice(0, 12)}: not an object (T22)`, async () => {
      expectText(await send(body), 400, "Invalid Json Input");
    });
  }

  it("is rejected in the same way on the app routes", async () => {
    for (const [method, path] of [
      ["PUT", "/recipe/multitenancy/app/v2"],
      ["POST", "/recipe/multitenancy/app/remove"],
    ]) {
      const answer = await core.call(path!, { method: method!, apiKey: null, headers: admin, body: "nope" });
      expectText(answer, 400, "Invalid Json Input");
    }
  });

  it("does not depend on the content type", async () => {
    for (const type of ["text/plain", "application/xml", "application/json; charset=utf-16"]) {
      expect((await send(good, { "content-type": type })).status).toBe(200);
    }
  });
});

const admin = { "api-key": "admin-key-of-the-tests-01" };

describe("size (H6)", () => {
  it("accepts exactly 64 KiB", async () => {
    expect((await send(bodyOfSize(BODY_LIMIT))).status).toBe(200);
  });

  it("rejects one byte more with 413, based on content-length", async () => {
    const answer = await send(bodyOfSize(BODY_LIMIT + 1));
    expectText(answer, 413, "The request body is larger than 65536 bytes");
  });

  it("rejects one byte more before the client sends the body", async () => {
    const lines = [`api-key: ${API_KEY}`, "Content-Length: 1000000000"];
    const answer = await sendRaw(core.port, rawRequest("POST /recipe/jwt", lines));
    expect([answer.status, answer.body]).toEqual([413, "The request body is larger than 65536 bytes"]);
  });

  const chunked = (size: number) => {
    const chunk = "1000\r\n" + " ".repeat(0x1000) + "\r\n";
    const body = bodyWith("{}");
    const whole = Math.floor((size - body.length) / 0x1000);
    const rest = size - body.length - whole * 0x1000;
    const tail = rest === 0 ? "" : `${rest.toString(16)}\r\n${" ".repeat(rest)}\r\n`;
    const text = `${body.length.toString(16)}\r\n${body}\r\n${chunk.repeat(whole)}${tail}0\r\n\r\n`;
    const lines = [`api-key: ${API_KEY}`, "Transfer-Encoding: chunked"];
    return sendRaw(core.port, rawRequest("POST /recipe/jwt", lines, text));
  };
  it("accepts exactly 64 KiB in chunks", async () => {
    expect((await chunked(BODY_LIMIT)).status).toBe(200);
  });

  it("rejects one byte more in chunks", async () => {
    const answer = await chunked(BODY_LIMIT + 1);
    expect([answer.status, answer.body]).toEqual([413, "The request body is larger than 65536 bytes"]);
    expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });

  it("rejects an endless body as soon as it is too large", async () => {
    const lines = [`api-key: ${API_KEY}`, "Transfer-Encoding: chunked"];
    const chunk = "1000\r\n" + " ".repeat(0x1000) + "\r\n";
    const answer = await sendRaw(core.port, rawRequest("POST /recipe/jwt", lines, chunk.repeat(17)));
    expect(answer.status).toBe(413);
  });

  it("comes after authentication: the core does not read the body of an unauthenticated client", async () => {
    const answer = await core.call("/recipe/jwt", { method: "POST", apiKey: null, body: bodyOfSize(BODY_LIMIT + 1) });
    expectText(answer, 401, "Invalid API key");
  });

  it("is also limited on public routes and unknown paths", async () => {
    const body = " ".repeat(BODY_LIMIT + 1);
    for (const path of ["/hello", "/nothing"]) {
      expect((await core.call(path, { method: "POST", body })).status).toBe(413);
    }
  });
});

describe("depth (H6, T20)", () => {
  const refusedForDepth = (answer: Answer) =>
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("16")]);

  it("accepts a payload of depth 16, and the token carries it", async () => {
    const answer = await send(bodyWith(nested(16)));
    expect(answer.status).toBe(200);
    expect(JSON.stringify(partsOf(answer.json["jwt"] as string).claims)).toContain(nested(16).slice(1, -1));
  });

  it("accepts arrays of the same depth", async () => {
    expect((await send(bodyWith(`{"a":${"[".repeat(15)}${"]".repeat(15)}}`))).status).toBe(200);
  });

  it("rejects depth 17, naming the limit", async () => {
    refusedForDepth(await send(bodyWith(nested(17))));
    refusedForDepth(await send(bodyWith(`{"a":${"[".repeat(16)}${"]".repeat(16)}}`)));
  });

  it("rejects other fields that are nested more deeply", async () => {
    refusedForDepth(await send(bodyWith("{}", `,"other":${nested(17)}`)));
  });

  it("rejects thirty thousand levels immediately, closed or not", async () => {
    refusedForDepth(await send(bodyWith(nested(10_000))));
    refusedForDepth(await send(`{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}`));
    expect(await send("[".repeat(60_000))).toMatchObject({ status: 400 });
    expect(await send('{"a":'.repeat(13_000))).toMatchObject({ status: 400 });
  });

  it("does not count brackets inside strings", async () => {
    expect((await send(bodyWith(`{"a":"${"[{".repeat(100)}\\"${"[".repeat(50)}"}`))).status).toBe(200);
  });
});

describe("after these requests", () => {
  it("the store is unchanged", async () => {
    expect(await core.epoch()).toBe(epoch);
    expect(await core.keys()).toHaveLength(3);
  });
});
