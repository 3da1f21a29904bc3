// For any input, the verifier never throws and never rejects its promise, and returns one of the known reasons.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Decision } from "../../../src/protocol/decision.ts";
import { meaningOf } from "../../../src/protocol/reasons.ts";
import { buildVerifier } from "../../../src/verify/verifier.ts";
import { fakeClock } from "../../support/clock.ts";
import { closing, openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import { edKey, tokenBy } from "../../support/keys.ts";
import { serveKeys } from "../../support/key-server.ts";

const key = edKey();
let route: ProtectedRoute;
beforeAll(async () => {
  route = await openPrimedRoute(key);
});

const throws = () => {
  throw new Error("from the input");
};
/** Every trap throws: any access to this value fails. */
const untouchable = (target: object) =>
  new Proxy(target, Object.fromEntries(Reflect.ownKeys(Reflect).map((name) => [name, throws])) as ProxyHandler<object>);
const revoked = (target: object) => {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
};
const good = tokenBy(key);

const hostile: [string, unknown][] = [
  ["an object that cannot become text", { toString: throws, valueOf: throws, [Symbol.toPrimitive]: throws }],
  ["an object that converts to a valid token", { toString: () => good, [Symbol.toPrimitive]: () => good }],
  ["an object without a prototype", Object.create(null)],
  ["a getter that throws", Object.defineProperty({}, "length", { get: throws })],
  ["a proxy that throws", untouchable({})],
  ["a proxy of a list that throws", untouchable([])],
  ["a proxy of a function that throws", untouchable(throws)],
  ["a revoked proxy", revoked({})],
  ["a revoked proxy of a list", revoked([])],
  ["a list whose first throws", Object.defineProperty(["Bearer a"], 0, { get: throws })],
  ["a list that cannot be iterated", Object.assign(["Bearer x"], { [Symbol.iterator]: throws })],
  [
    "a list without end",
    Object.assign(["Bearer x"], {
      *[Symbol.iterator]() {
        for (;;) yield "Bearer x";
      },
    }),
  ],
  ["a list with its own length", new Proxy([], { get: (_, name) => (name === "length" ? { valueOf: throws } : "x") })],
  ["a list of hostile things", [untouchable({})]],
  ["a list of symbols", [Symbol("Bearer x")]],
  ["a list with holes", Array.from({ length: 3 })],
  ["a function", throws],
  ["a class", Map],
  ["a symbol", Symbol("x")],
  ["a bigint", 2n ** 4000n],
  ["NaN", NaN],
  ["minus zero", -0],
  ["a promise of a token", Promise.resolve(good)],
  ["a thenable that throws", { then: throws }],
  ["bytes", new TextEncoder().encode(good)],
  ["a date that is none", new Date(NaN)],
  ["a string object", new String(good)],
  ["a list of a string object", [new String(`Bearer ${good}`)]],
  ["sixteen megabytes of dots", ".".repeat(16_000_000)],
  ["sixteen megabytes of a token", `Bearer ${"a".repeat(16_000_000)}`],
  ["a megabyte of half characters", "\ud800".repeat(500_000)],
];

function expectRefusal(decision: Decision): void {
  if (decision.allowed) throw new Error("allowed");
  expect(Object.keys(decision)).toEqual(["allowed", "reason", "status"]);
  expect(meaningOf(decision.reason)).toEqual(expect.any(String));
  expect([400, 401]).toContain(decision.status);
}

async function expectBothRefuse(input: unknown): Promise<void> {
  const before = route.events.length;
  expectRefusal(await route.verifier.verify(input));
  expectRefusal(await route.verifier.verifyAuthorization(input as string));
  expectRefusal(await route.verifier.verifyAuthorization([input] as string[]));
  expect(route.events.slice(before).map((event) => event.type)).toEqual(["refused", "refused", "refused"]);
}

test.each(hostile)("%s is rejected", async (_name, input) => expectBothRefuse(input));

test("T19 half a gigabyte is rejected by its length alone", async () => {
  const start = process.cpuUsage();
  expect(await route.verifier.verify(".".repeat(500_000_000))).toMatchObject({ reason: "token_too_large" });
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1000).toBeLessThan(100);
});

test("every other value that is not a valid token is rejected", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.anything({
        withBigInt: true,
        withBoxedValues: true,
        withDate: true,
        withMap: true,
        withNullPrototype: true,
        withObjectString: true,
        withSet: true,
        withSparseArray: true,
        withTypedArray: true,
        withUnicodeString: true,
      }),
      expectBothRefuse,
    ),
    { numRuns: 3_000 },
  );
});

test("any string is rejected, between dots and after the scheme", async () => {
  const part = fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.base64String({ maxLength: 40 }),
    fc.constantFrom(...good.split(".")),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
      const text = parts.join(".");
      fc.pre(text !== good);
      await expectBothRefuse(text);
      await expectBothRefuse(`Bearer ${text}`);
    }),
    { numRuns: 3_000 },
  );
});

describe("a listener that fails in the worst way", () => {
  const cannotBeRead = Object.defineProperty(new Error("x"), "message", { get: throws });
  test.each<[string, () => unknown]>([
    [
      "throws an error whose message throws",
      () => {
        throw cannotBeRead;
      },
    ],
    [
      "throws a value whose properties throw",
      () => {
        throw untouchable({});
      },
    ],
    [
      "throws an error whose message is a symbol",
      () => {
        throw Object.assign(new Error("x"), { message: Symbol("x") });
      },
    ],
    ["returns a value whose properties throw", () => untouchable({})],
    ["rejects with a value whose properties throw", () => Promise.reject(cannotBeRead)],
  ])("and %s changes no decision", async (_name, onEvent) => {
    const warned = new Promise((resolve) => process.once("warning", resolve));
    const keys = await serveKeys(key);
    const verifier = closing(buildVerifier({ jwksUri: keys.jwksUri, onEvent }, undefined, fakeClock()));
    expect(await verifier.verify(good)).toMatchObject({ allowed: true });
    expect(await verifier.verify("x")).toMatchObject({ reason: "token_malformed" });
    expect(await warned).toMatchObject({ code: "COUNTERSIGN_ON_EVENT" });
  });
});
