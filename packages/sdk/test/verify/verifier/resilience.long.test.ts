// Many requests, valid and forged, while the issuer cannot be reached.
import { expect, test } from "vitest";
import { readerOf, serveIssuer } from "../../support/issuer.ts";
import { edKey, NOW, tokenBy } from "../../support/keys.ts";
import { rounds } from "../../../../../test/support/rounds.ts";

const REQUESTS = rounds({ quick: 1_000, short: 20_000, full: 100_000 });

const key = edKey("s-1");
const HOUR = 3_600;
const long = (more: object = {}) => tokenBy(key, { exp: NOW + 100 * 24 * HOUR, ...more });

test("R12 a flood of unknown kids costs one fetch per 30 s, and valid tokens nothing", async () => {
  const issuer = await serveIssuer(key);
  const { verifier, clock, outcome } = readerOf(issuer);
  expect(await outcome(long())).toBe("allowed");
  let round = 0;
  const timesOf = async (flooding: boolean) => {
    const times: number[] = [];
    round++;
    for (let i = 0; i < 200; i++) {
      const kids = Array.from({ length: flooding ? 10 : 0 }, (_, j) => `x-${round}-${i}-${j}`);
      const flood = kids.map((kid) => verifier.verify(long({}).replace(/^[^.]+/, kidHeader(kid))));
      const fresh = long({ jti: `${round}-${i}` });
      await Promise.all(flood);
      const began = performance.now();
      expect(await outcome(fresh)).toBe("allowed");
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b);
  };
  await timesOf(false); // warm
  const before = issuer.requests.length;
  // Alternating rounds, of which the fastest count: other processes slow some of them down.
  const [quiet, flooded]: number[][][] = [[], []];
  for (let i = 0; i < 10; i++) {
    quiet!.push(await timesOf(false));
    flooded!.push(await timesOf(true));
  }
  const best = (measured: number[][], share: number) =>
    Math.min(...measured.map((times) => times[Math.floor(200 * share)]!));
  const p99 = [quiet!, flooded!].map((measured) => `${best(measured, 0.99).toFixed(3)} ms`);
  process.stderr.write(`note: R12 p99 of a valid token ${p99[0]}, during a flood ${p99[1]}\n`);
  // The medians are compared: the slower half also depends on the machine and on garbage collection.
  const [without, withFlood] = [best(quiet!, 0.5), best(flooded!, 0.5)];
  expect(issuer.requests.length - before).toBeLessThanOrEqual(1);
  // Within 10 %. The margin of 0.1 ms covers the resolution of such short times.
  expect(withFlood).toBeLessThan(without * 1.1 + 0.1);
  clock.advance(31);
  await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => verifier.verify(long({}).replace(/^[^.]+/, kidHeader(`y-${i}`)))),
  );
  expect(issuer.requests.length - before).toBeLessThanOrEqual(2);
}, 60_000);

test(`${REQUESTS} valid tokens and as many forgeries, with issuer and key set unavailable, all get the right answer`, async () => {
  const issuer = await serveIssuer(key);
  const { verifier, outcome } = readerOf(issuer);
  expect(await outcome(long())).toBe("allowed");
  await issuer.close();
  const otherKey = edKey("s-1");
  const good = Array.from({ length: 2_000 }, (_, i) => long({ jti: `id-${i}` }));
  const bad = Array.from({ length: 500 }, (_, i) => [
    tokenBy(otherKey, { jti: `id-${i}` }), // another issuer's key with our kid
    good[i]!.replace(
      /\.[^.]+\./,
      `.${Buffer.from(JSON.stringify({ sub: "admin", source: "microservice", exp: NOW + HOUR })).toString("base64url")}.`,
    ),
    good[i]!.slice(0, -4) + (good[i]!.slice(-4) === "AAAA" ? "BBBA" : "AAAA"),
    long({ exp: NOW - 60, jti: `old-${i}` }),
  ]).flat();
  const tally = new Map<string, number>();
  for (let i = 0; i < REQUESTS; i++) {
    for (const [kind, token] of [
      ["good", good[(i * 7) % good.length]!],
      ["bad", bad[(i * 11) % bad.length]!],
    ] as const) {
      const { allowed } = await verifier.verify(token);
      const what = `${kind} ${allowed ? "allowed" : "refused"}`;
      tally.set(what, (tally.get(what) ?? 0) + 1);
    }
  }
  expect(Object.fromEntries(tally)).toEqual({ "good allowed": REQUESTS, "bad refused": REQUESTS });
}, 120_000);

function kidHeader(kid: string): string {
  return Buffer.from(JSON.stringify({ alg: "Ed25519", typ: "JWT", kid })).toString("base64url");
}
