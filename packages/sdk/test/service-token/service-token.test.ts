// The time that a service's token is cached, and when the next one is requested. Fake timers also drive the clock.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { buildCountersign } from "../../src/instance/countersign.ts";
import { CountersignError } from "../../src/protocol/errors.ts";
import { ServiceToken } from "../../src/service-token/service-token.ts";
import { ServiceTokenCache } from "../../src/service-token/token-cache.ts";
import { listen } from "../support/http.ts";
import { appInfo } from "../support/instances.ts";
import { edKey, tokenBy } from "../support/keys.ts";

const clock = { now: () => Date.now(), monotonic: () => Date.now() };
const key = edKey();
const LIFETIME = 3_600;
const REFUSED = new CountersignError("core_refused", "the core responded with status 403: no", { status: 403 });
const DOWN = new CountersignError("core_unreachable", "cannot reach any host of the core");

let made: ServiceToken[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  vi.spyOn(process, "emitWarning").mockReturnValue();
});
afterEach(() => {
  for (const token of made) token.close();
  made = [];
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A token of a core that issues tokens, or fails with `problem`. */
function tokenOf(lifetime = LIFETIME) {
  let number = 0;
  const core = { asked: [] as number[], problem: undefined as Error | undefined, lifetime };
  const began = Date.now();
  const token = new ServiceToken(
    async () => {
      core.asked.push((Date.now() - began) / 1000);
      if (core.problem !== undefined) throw core.problem;
      const iat = 1_000_000; // the core's clock differs from ours
      return tokenBy(key, { jti: String(++number), iat, exp: iat + core.lifetime });
    },
    " for inventory",
    clock,
  );
  made.push(token);
  return { core, token };
}

const numberOf = (text: string | undefined) =>
  text === undefined
    ? undefined
    : (JSON.parse(Buffer.from(text.split(".")[1]!, "base64url").toString()) as { jti: string }).jti;
const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

describe("renewal", () => {
  test.each([
    [0, 0.6],
    [0.999_999, 0.73],
  ])("at about two thirds of the token's lifetime: with a random share of %d, at %d", async (random, share) => {
    vi.spyOn(Math, "random").mockReturnValue(random);
    const { core, token } = tokenOf();
    expect(token.current()).toBeUndefined();
    await token.get();
    await pass(LIFETIME * share - 1);
    expect(numberOf(token.current())).toBe("1");
    await pass(2);
    expect(core.asked).toHaveLength(1); // no holder, so no background renewal
    expect(numberOf(token.current())).toBe("1"); // immediately; the next token is being fetched
    await pass(0);
    expect(numberOf(token.current())).toBe("2");
    expect(core.asked).toHaveLength(2);
  });

  test("services that start together do not renew together", async () => {
    const due: number[] = [];
    for (let i = 0; i < 200; i++) {
      const { token } = tokenOf();
      token.hold();
      await token.get();
    }
    for (let second = 0; second < LIFETIME * 0.75; second += 5) {
      const before = made.reduce((sum, token) => sum + Number(numberOf(token.current())), 0);
      await pass(5);
      due.push(made.reduce((sum, token) => sum + Number(numberOf(token.current())), 0) - before);
    }
    expect(due.reduce((sum, count) => sum + count, 0)).toBe(200);
    expect(Math.max(...due)).toBeLessThan(15); // 200 within 468 seconds
  }, 30_000);

  test("continues in the background while the token is held, and stops with the last holder", async () => {
    const { core, token } = tokenOf();
    const [one, two] = [token.hold(), token.hold()];
    await pass(10 * LIFETIME);
    expect(core.asked).toHaveLength(0); // nothing has requested one yet
    await token.get();
    await pass(10 * LIFETIME);
    expect(core.asked.length).toBeGreaterThanOrEqual(13);
    expect(core.asked.length).toBeLessThanOrEqual(18);
    expect(token.current()).toBeDefined();
    one();
    one(); // a second call by mistake
    const before = core.asked.length;
    await pass(LIFETIME);
    expect(core.asked.length).toBeGreaterThan(before);
    two();
    const last = core.asked.length;
    await pass(10 * LIFETIME);
    expect(core.asked).toHaveLength(last);
    expect(token.current()).toBeUndefined();
  });

  test("no timer depends on the lifetime of a token: a hundred years count as an hour", async () => {
    const { core, token } = tokenOf(3_153_600_000);
    token.hold();
    await token.get();
    await pass(LIFETIME);
    expect(core.asked).toHaveLength(2);
  });

  test("a token without a lifetime is rejected", async () => {
    for (const lifetime of [0, -1, NaN, "1"]) {
      const { token } = tokenOf(lifetime as number);
      await expect(token.get()).rejects.toMatchObject({ code: "core_refused" });
    }
  });
});

describe("while the core is down", () => {
  test("the token is used until it expires, with one warning, and renewed as soon as the core is available", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { core, token } = tokenOf();
    token.hold();
    await token.get();
    core.problem = DOWN;
    await pass(LIFETIME - 1);
    expect(numberOf(token.current())).toBe("1");
    expect(warned).toHaveBeenCalledTimes(1);
    expect(warned).toHaveBeenCalledWith(
      expect.stringMatching(/^service token for inventory cannot be renewed and expires in \d+ s: cannot reach/),
      { code: "COUNTERSIGN_TOKEN_NOT_RENEWED" },
    );
    await pass(1);
    expect(token.current()).toBeUndefined();
    core.problem = undefined;
    await pass(30);
    expect(numberOf(token.current())).toBe("2");
  });

  test("a call without a token causes one warning immediately", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { core, token } = tokenOf();
    core.problem = DOWN;
    const waiting = token.get();
    await pass(0);
    expect(warned.mock.calls).toEqual([
      [
        "service token for inventory cannot be fetched, will retry: cannot reach any host of the core",
        { code: "COUNTERSIGN_TOKEN_NOT_HAD" },
      ],
    ]);
    await pass(30);
    core.problem = undefined;
    await pass(10);
    await waiting;
    expect(warned).toHaveBeenCalledTimes(1);

    const { core: refusing, token: refused } = tokenOf();
    refusing.problem = REFUSED;
    await expect(refused.get()).rejects.toBe(REFUSED); // the error is enough, without a warning
    expect(warned).toHaveBeenCalledTimes(1);
  });

  test("requests become less frequent, and have jitter", async () => {
    const { core, token } = tokenOf();
    token.hold();
    await token.get();
    core.problem = DOWN;
    await pass(LIFETIME);
    const tries = core.asked.slice(1);
    const pauses = tries.slice(1).map((at, i) => at - tries[i]!);
    for (const [i, pause] of pauses.entries()) {
      const most = Math.min(30, 0.25 * 2 ** i);
      expect(pause).toBeGreaterThanOrEqual(most / 2 - 0.01);
      expect(pause).toBeLessThanOrEqual(most + 0.01);
    }
    expect(new Set(pauses.slice(8).map((pause) => pause.toFixed(2))).size).toBeGreaterThan(5);
  });

  test("calls without a token wait for two minutes and share requests; later calls reject immediately", async () => {
    const { core, token } = tokenOf();
    core.problem = DOWN;
    const outcomes = Promise.allSettled(Array.from({ length: 100 }, () => token.get()));
    await pass(105);
    core.problem = undefined;
    await pass(15);
    expect(new Set((await outcomes).map(({ status }) => status))).toEqual(new Set(["fulfilled"]));
    expect(core.asked.length).toBeLessThanOrEqual(32);

    const { core: gone, token: late } = tokenOf();
    gone.problem = DOWN;
    const waiting = expect(late.get()).rejects.toBe(DOWN);
    await pass(121);
    await waiting;
    const before = gone.asked.length;
    for (let i = 0; i < 100; i++) await expect(late.get()).rejects.toBe(DOWN); // immediately
    expect(gone.asked.length - before).toBeLessThanOrEqual(1); // if the next request was due
    gone.problem = undefined;
    await pass(10);
    expect(numberOf(await late.get())).toBe("1");
  });

  test("a slow failure means overload: the next request comes later, and has a longer timeout", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.999_999);
    const timeouts: number[] = [];
    const began = Date.now();
    const token = new ServiceToken(
      async (timeout) => {
        timeouts.push(timeout);
        if (timeouts.length === 3) return tokenBy(key, { iat: 1, exp: 1 + LIFETIME });
        await new Promise((resolve) => setTimeout(resolve, timeout));
        throw DOWN;
      },
      "",
      clock,
    );
    const waiting = token.get();
    await pass(120);
    expect(numberOf(await waiting)).toBe("id-1");
    expect(timeouts).toEqual([5_000, 20_000, 20_000]);
    expect(Date.now() - began).toBe(120_000);
  });

  test("an error that a retry cannot fix is thrown immediately, and the next request is delayed", async () => {
    const { core, token } = tokenOf();
    core.problem = REFUSED;
    for (let i = 0; i < 100; i++) await expect(token.get()).rejects.toBe(REFUSED);
    expect(core.asked).toHaveLength(1);
    core.problem = undefined; // such as a policy that was wrong
    await pass(0.25);
    expect(numberOf(await token.get())).toBe("1");
  });

  test.each([400, 403])(
    "a call gets what the policy newly grants within 6 s, also after a long denial: %i",
    async (status) => {
      for (let run = 0; run < 10; run++) {
        const { core, token } = tokenOf();
        token.hold(); // so that it is also requested without calls
        core.problem = new CountersignError("core_refused", "no", { status });
        await expect(token.get()).rejects.toBe(core.problem);
        await pass(60 + 3.7 * run);
        const before = core.asked.length;
        for (let i = 0; i < 600; i++) {
          await expect(token.get()).rejects.toBe(core.problem);
          await pass(0.1);
        }
        expect(core.asked.length - before).toBeLessThanOrEqual(31); // for any number of calls
        core.problem = undefined;
        await pass(4); // two seconds are left for the instances of the core, and for its response
        expect(numberOf(await token.get())).toBe("1");
        token.close();
      }
    },
  );

  test("S1 an error that a retry cannot fix causes only a few requests a minute", async () => {
    const { core, token } = tokenOf();
    token.hold();
    core.problem = REFUSED;
    await expect(token.get()).rejects.toBe(REFUSED);
    await pass(60);
    const before = core.asked.length;
    await pass(600);
    expect(core.asked.length - before).toBeGreaterThanOrEqual(20);
    expect(core.asked.length - before).toBeLessThanOrEqual(40);
  });
});

describe("in place of a token that the called service rejected", () => {
  /** A core that issues one token, and then hangs until it is released. */
  async function hanging() {
    const answers: ((token: string) => void)[] = [];
    let asked = 0;
    const token = new ServiceToken(
      () => {
        const fresh = tokenBy(key, { jti: String(++asked), iat: 1, exp: 1 + LIFETIME });
        return asked === 1 ? Promise.resolve(fresh) : new Promise((resolve) => answers.push(() => resolve(fresh)));
      },
      "",
      clock,
    );
    made.push(token);
    return { token, first: await token.get(), answers, asked: () => asked };
  }

  test("a new token is awaited for two seconds; a later one is cached in the background", async () => {
    const { token, first, answers, asked } = await hanging();
    const outcomes: (string | undefined)[] = [];
    const replace = () => void token.replace(first).then((second) => outcomes.push(second && numberOf(second)));
    replace();
    await pass(1);
    replace(); // by another call, which does not wait for longer than the first
    await pass(0.999);
    expect(outcomes).toEqual([]);
    await pass(0.001);
    expect(outcomes).toEqual([undefined, undefined]);
    replace();
    await pass(0);
    expect(outcomes).toHaveLength(3); // immediately: the core still hangs
    expect(numberOf(token.current())).toBe("1");
    answers[0]!("");
    await pass(0);
    expect([numberOf(token.current()), asked()]).toEqual(["2", 2]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("one that arrives in time is used, and no timer is left", async () => {
    const { token, first, answers } = await hanging();
    const second = token.replace(first);
    await pass(1.9);
    answers[0]!("");
    expect(numberOf(await second)).toBe("2");
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("S1 a key that the core does not know", () => {
  const UNKNOWN = new CountersignError("core_refused", "Invalid API key", { status: 401 });
  const SENT_AWAY = new CountersignError("core_refused", "Too many", { status: 429, retryAfter: 60 });

  function tokensOf() {
    const core = { asked: 0, problem: UNKNOWN as CountersignError | undefined };
    const tokens = new ServiceTokenCache(async () => {
      core.asked++;
      if (core.problem !== undefined) throw core.problem;
      return tokenBy(key, { iat: 1, exp: 1 + LIFETIME });
    }, clock);
    const of = (audience: string) => {
      const token = tokens.of({ audience, scope: undefined });
      made.push(token);
      return token;
    };
    return { core, of };
  }

  test("S1 causes one failed request a minute at most without calls", async () => {
    const { core, of } = tokensOf();
    const token = of("inventory");
    token.hold();
    await expect(token.get()).rejects.toBe(UNKNOWN);
    await pass(1);
    const before = core.asked;
    await pass(900);
    expect(core.asked - before).toBeGreaterThanOrEqual(9);
    expect(core.asked - before).toBeLessThanOrEqual(15);
    core.problem = undefined; // such as a service that was disabled
    await pass(30);
    expect(await token.get()).toBeDefined();
  });

  test("S1 is thrown immediately, also if the core throttles the address, for every purpose", async () => {
    const { core, of } = tokensOf();
    await expect(of("inventory").get()).rejects.toBe(UNKNOWN);
    core.problem = SENT_AWAY;
    await pass(60);
    await expect(of("inventory").get()).rejects.toBe(UNKNOWN);
    await expect(of("billing").get()).rejects.toBe(UNKNOWN);
    expect(core.asked).toBe(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("S1 is forgotten after another response: calls wait for an overloaded core again", async () => {
    const { core, of } = tokensOf();
    await expect(of("inventory").get()).rejects.toBe(UNKNOWN);
    core.problem = undefined;
    await of("billing").get();
    core.problem = SENT_AWAY;
    const waiting = of("shipping").get();
    await pass(59);
    core.problem = undefined;
    await pass(10);
    expect(await waiting).toBeDefined();
  });
});

test("close rejects waiting calls immediately and stops all requests", async () => {
  const { core, token } = tokenOf();
  token.hold();
  core.problem = DOWN;
  const waiting = expect(token.get()).rejects.toBe(DOWN);
  await pass(5);
  const asked = core.asked.length;
  token.close();
  await waiting;
  expect(vi.getTimerCount()).toBe(0);
  await pass(LIFETIME);
  expect(core.asked).toHaveLength(asked);
});

test("release and hold after close start nothing", async () => {
  const { core, token } = tokenOf();
  const release = token.hold();
  await token.get();
  token.close();
  release();
  token.hold();
  await token.get(); // a later call still gets a token
  await pass(10 * LIFETIME);
  await token.get();
  await pass(10 * LIFETIME);
  expect(core.asked).toHaveLength(2);
  expect(vi.getTimerCount()).toBe(0);
});

test("with many audiences, a few hundred tokens are cached: those that are held and the last used", async () => {
  let asked = 0;
  const tokens = new ServiceTokenCache(
    async () => tokenBy(key, { jti: String(++asked), iat: 1, exp: 1 + LIFETIME }),
    clock,
  );
  const of = (audience: string) => tokens.of({ audience, scope: undefined });
  const held = of("held");
  held.hold();
  const often = of("often");
  const [first, last] = [of("a0"), "a1999"];
  for (const token of [held, often, first]) await token.get();
  for (let i = 1; i < 2_000; i++) {
    await of(`a${i}`).get();
    expect(of("often")).toBe(often);
  }
  expect(of("held")).toBe(held);
  expect(of("a0")).not.toBe(first);
  const before = asked;
  await of(last).get();
  expect(asked).toBe(before);
  for (let i = 1_600; i < 2_000; i++) await of(`a${i}`).get();
  expect(asked).toBe(before);
  await of("a1000").get();
  expect(asked).toBe(before + 1);
  tokens.close();
});

test("unused tokens are deleted, so purposes do not accumulate", async () => {
  let asked = 0;
  const tokens = new ServiceTokenCache(
    async () => tokenBy(key, { jti: String(++asked), iat: 1, exp: 1 + LIFETIME }),
    clock,
  );
  const first = tokens.of({ audience: "a", scope: undefined });
  const held = tokens.of({ audience: "b", scope: undefined });
  held.hold();
  await first.get();
  expect(tokens.of({ audience: "a", scope: undefined })).toBe(first);
  await pass(LIFETIME);
  tokens.of({ audience: "c", scope: undefined });
  expect(tokens.of({ audience: "a", scope: undefined })).not.toBe(first);
  expect(tokens.of({ audience: "b", scope: undefined })).toBe(held);
  tokens.close();
});

describe("an overloaded core", () => {
  const ANSWER = JSON.stringify({ status: "OK", jwt: tokenBy(key, { iat: 1, exp: 1 + LIFETIME }) });
  const DATE = "Tue, 01 Jan 2030 00:00:00 GMT";

  test.each([
    [503, "3", 3],
    [429, "3", 3],
    [503, "Tue, 01 Jan 2030 00:00:03 GMT", 3],
    [503, "soon", 0],
  ])("S1 gets no request before its Retry-After: %i with Retry-After %s", async (status, retryAfter, seconds) => {
    let isFree = false;
    const core = await listen((req, res) => {
      if (req.method === "GET") return void res.end('{"versions":["5.4"]}');
      if (isFree) return void res.end(ANSWER);
      res.writeHead(status, { date: DATE, "retry-after": retryAfter }).end("later");
    });
    const { countersign } = buildCountersign({ appInfo, core: { connectionURI: core.url } }, { clock });
    const waiting = countersign.getServiceToken();
    const came: number[] = [];
    while (came.length < 3) {
      // Sockets use real time: fake time stops until the response has arrived and a call waits because of it.
      if (vi.getTimerCount() > 0) await vi.advanceTimersByTimeAsync(10);
      await new Promise((resolve) => setImmediate(resolve));
      if (core.count("/recipe/jwt") > came.length) came.push(Date.now() / 1000);
      isFree = came.length === 2;
    }
    expect(numberOf(await waiting)).toBe("id-1");
    for (const pause of [came[1]! - came[0]!, came[2]! - came[1]!]) {
      expect(pause).toBeGreaterThanOrEqual(seconds);
      expect(pause).toBeLessThan(seconds + 1);
    }
    await countersign.close();
  });

  test("S1 a Retry-After of an hour is an immediate error, because no call waits that long", async () => {
    const core = await listen((req, res) => {
      if (req.method === "GET") return void res.end('{"versions":["5.4"]}');
      res.writeHead(503, { "retry-after": "3600" }).end("later");
    });
    const { countersign } = buildCountersign({ appInfo, core: { connectionURI: core.url } }, { clock });
    await expect(countersign.getServiceToken()).rejects.toMatchObject({ status: 503, retryAfter: 3600 });
    await expect(countersign.createServiceFetch().ready()).rejects.toMatchObject({ status: 503 });
    expect(core.count("/recipe/jwt")).toBe(1);
    await countersign.close();
  });

  test("every service gets a token: a hundred at once, each rejected twice", async () => {
    vi.useRealTimers();
    const came = new Map<unknown, number[]>();
    const core = await listen((req, res) => {
      if (req.method === "GET") return void res.end('{"versions":["5.4"]}');
      const tries = came.get(req.headers["api-key"]) ?? [];
      came.set(req.headers["api-key"], tries);
      if (tries.push(performance.now()) === 3) return void res.end(ANSWER);
      res.writeHead(tries.length === 1 ? 503 : 429, { "retry-after": "1" }).end("later");
    });
    const services = Array.from({ length: 100 }, (_, i) =>
      buildCountersign({ appInfo, core: { connectionURI: core.url, apiKey: `service-number-${i}` } }),
    );
    await Promise.all(services.map(({ countersign }) => countersign.createServiceFetch().ready()));
    expect(came.size).toBe(100);
    for (const [first, second, third] of came.values()) {
      expect(second! - first!).toBeGreaterThanOrEqual(990); // timers can fire early
      expect(third! - second!).toBeGreaterThanOrEqual(990);
    }
    for (const { countersign } of services) await countersign.close();
  });
});
