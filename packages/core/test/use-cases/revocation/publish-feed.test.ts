import { describe, expect, it } from "vitest";
import { DEFAULT_ROTATION } from "../../../src/domain/keys/rotation.ts";
import { nextChangeOfFeed, signerOfFeed } from "../../../src/domain/revocation/revocation-feed.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { partsOf } from "../../support/core.ts";
import { pass, startInstance } from "../../support/instance.ts";
import { signingKey } from "../../support/keys.ts";

const DAY = 86_400_000;

describe("the signer of the feed", () => {
  const now = NEW_YEAR + DAY;
  const signer = (...keys: ReturnType<typeof signingKey>[]) =>
    signerOfFeed(keys, { ...DEFAULT_ROTATION, algorithms: ["RS256", "ES256"] }, now)?.kid;
  const rsa = signingKey({ kid: "s-rsa" });
  const es = signingKey({ kid: "s-es", algorithm: "ES256" });
  const dynamic = signingKey({ kid: "d-rsa", kind: "dynamic", verifiesUntil: now + DAY });
  const justMade = { createdAt: now - DEFAULT_ROTATION.lead + 1 };

  it("R17 is a key that every verifier knows: static before dynamic, RSA before others, active keys before the rest", () => {
    expect(signer(dynamic, es, rsa)).toBe("s-rsa");
    expect(signer(es, dynamic)).toBe("d-rsa");
    expect(signer({ ...rsa, ...justMade }, dynamic)).toBe("d-rsa");
    expect(signer({ ...rsa, ...justMade }, es)).toBe("s-es");
    const retired = signingKey({ kid: "s-old", sequence: 1 });
    const made = signingKey({ kid: "s-new", sequence: 2, ...justMade });
    expect(signer(retired, { ...dynamic, ...justMade }, made)).toBe("s-old");
    expect(signer({ ...retired, ...justMade }, made)).toBe("s-new"); // the only remaining key
  });

  it("is never a key that is revoked, has ended, or was imported only for verification", () => {
    const imported = signingKey({ kid: "s-in", sequence: 0 });
    const revoked = signingKey({ kid: "s-gone", revokedAt: now - 1 });
    const ended = signingKey({ kid: "d-end", kind: "dynamic", verifiesUntil: now });
    expect(signer(imported, revoked, ended)).toBeUndefined();
    expect(signer(imported, revoked, ended, dynamic)).toBe("d-rsa");
  });

  it("R17 was in the set before its predecessor was revoked", async () => {
    const instance = await startInstance();
    await pass(instance, DAY);
    const known = instance.state.publishedSets("public")!.all.keys.map((key) => key.kid);
    const { kid } = instance.state.signer("public", "static", "ES256")!;
    await instance.manageKeys.revoke("public", kid);
    const { header, claims } = partsOf((await instance.publishFeed("public"))!.body);
    expect([claims["kids"], header["kid"] === kid, known.includes(String(header["kid"]))]).toEqual([
      [kid],
      false,
      true,
    ]);
  });
});

describe("the feed", () => {
  it("is built and signed once for every change, however often it is asked for", async () => {
    const instance = await startInstance();
    const { state, publishFeed, clock } = instance;
    const document = await publishFeed("public");
    const feed = state.feedOf("public");
    clock.advance(60_000);
    await state.refresh();
    expect(await publishFeed("public")).toBe(document);
    expect(state.feedOf("public")).toBe(feed);
    await instance.revoke.token("public", { jti: "one", expiresAt: NEW_YEAR / 1000 + 3_600 });
    const second = await publishFeed("public");
    expect(second!.etag).not.toBe(document!.etag);
    // The token leaves the feed when no verifier would accept it any longer, without any request.
    clock.advance(NEW_YEAR + 3_600_000 + 300_000 - 1 - clock.now());
    expect(await publishFeed("public")).toBe(second);
    clock.advance(1);
    expect(partsOf((await publishFeed("public"))!.body).claims["tokens"]).toEqual([]);
  });

  it("takes no time without changes, even with ten thousand tokens in it", async () => {
    const instance = await startInstance();
    await instance.store.write(async (writer) => {
      for (let i = 0; i < 10_000; i++)
        await writer.revocations.upsertToken({ appId: "public", jti: `jti-${i}`, expiresAt: 4_000_000_000 });
    });
    await instance.state.refresh();
    await instance.publishFeed("public");
    const began = process.cpuUsage();
    for (let i = 0; i < 1_000; i++) await instance.publishFeed("public");
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1_000).toBeLessThan(1_000); // milliseconds: 4,500 if it is built each time
  }, 30_000);

  it("shrinks automatically when a token expires and seven days after a key was revoked", () => {
    const tokens = [{ appId: "public", jti: "a", expiresAt: 1_000 }];
    const keys = [signingKey(), signingKey({ revokedAt: 2_000_000 })];
    const next = (now: number) => nextChangeOfFeed(tokens, keys, now);
    expect([0, 1_300_000, 2_000_000 + 7 * DAY].map(next)).toEqual([1_300_000, 2_000_000 + 7 * DAY, Infinity]);
  });
});
