import { beforeEach, describe, expect, it } from "vitest";
import type { StoreFixture } from "./fixture.ts";

export function describeRevocations(fixture: StoreFixture): void {
  const { epochNow, insertApps, snapshot, write } = fixture;
  beforeEach(() => insertApps("public", "other"));

  describe("of tokens", () => {
    const token = (jti: string, expiresAt = 2_000, appId = "public") => ({ appId, jti, expiresAt });
    const revoke = (...tokens: ReturnType<typeof token>[]) =>
      write(async ({ revocations }) => {
        for (const one of tokens) await revocations.upsertToken(one);
      });
    const revoked = async () => {
      const { revokedTokens } = await snapshot();
      return [...revokedTokens].sort((a, b) => (a.appId + a.jti < b.appId + b.jti ? -1 : 1));
    };

    it("are returned as they were inserted, for any jti (H8)", async () => {
      const names = ["a", "A", "'; drop table revoked_tokens; --", "\u{1f511} \u00e9", "x".repeat(256)];
      await revoke(...names.map((jti) => token(jti)));
      expect((await revoked()).map((one) => one.jti).sort()).toEqual(names.sort());
      expect((await revoked())[0]).toEqual(token((await revoked())[0]!.jti));
    });

    it("R17 keep the latest exp of a jti in its app, and the epoch grows exactly when it changes", async () => {
      const start = await epochNow();
      const seen = [];
      for (const expiresAt of [2_000, 2_000, 9_999, 1_000]) {
        await revoke(token("a", expiresAt));
        seen.push([await revoked(), (await epochNow()) - start]);
      }
      expect(seen).toEqual([
        [[token("a")], 1],
        [[token("a")], 1],
        [[token("a", 9_999)], 2],
        [[token("a", 9_999)], 2],
      ]);
      await revoke(token("a", 3_000, "other"));
      expect(await revoked()).toEqual([token("a", 3_000, "other"), token("a", 9_999)]);
    });

    it("are read under the lock with the revoked services, app by app", async () => {
      await revoke(token("a"), token("b"), token("a", 1, "other"));
      await write(async ({ revocations }) => {
        await revocations.upsertService({ appId: "other", service: "orders", notBefore: 7 });
        const own = await revocations.listIn("public");
        expect({ ...own, tokens: new Set(own.tokens) }).toEqual({
          tokens: new Set([token("a"), token("b")]),
          services: [],
        });
        expect(await revocations.listIn("other")).toEqual({
          tokens: [token("a", 1, "other")],
          services: [{ appId: "other", service: "orders", notBefore: 7 }],
        });
        expect(await revocations.listIn("missing")).toEqual({ tokens: [], services: [] });
      });
    });

    it("are deleted in every app once they have expired, and not a second earlier", async () => {
      await revoke(token("a", 999), token("b", 1_000), token("c", 1_001), token("d", 5, "other"));
      const start = await epochNow();
      await write(({ revocations }) => revocations.deleteExpiredTokens(1_000));
      expect([await epochNow(), (await revoked()).map((one) => one.jti)]).toEqual([start + 1, ["b", "c"]]);
      await write(({ revocations }) => revocations.deleteExpiredTokens(1_000));
      expect(await epochNow()).toBe(start + 1);
    });

    it("need an app", async () => {
      await expect(revoke(token("a", 1, "missing"))).rejects.toThrow();
      expect(await revoked()).toEqual([]);
    });
  });

  describe("of services", () => {
    const service = (notBefore: number, name = "orders", appId = "public") => ({ appId, service: name, notBefore });
    const revoke = (one: ReturnType<typeof service>) => write(({ revocations }) => revocations.upsertService(one));

    it("move later and never back, and the epoch grows exactly when they move", async () => {
      const start = await epochNow();
      const seen = [];
      for (const notBefore of [100, 99, 100, 101, 1]) {
        await revoke(service(notBefore));
        seen.push([(await snapshot()).revokedServices, (await epochNow()) - start]);
      }
      expect(seen).toEqual([
        [[service(100)], 1],
        [[service(100)], 1],
        [[service(100)], 1],
        [[service(101)], 2],
        [[service(101)], 2],
      ]);
    });

    it("are separate per app, and need an app", async () => {
      await revoke(service(100));
      await revoke(service(50, "orders", "other"));
      await revoke(service(60, "Orders"));
      const { revokedServices } = await snapshot();
      expect(revokedServices).toHaveLength(3);
      expect(revokedServices).toEqual(
        expect.arrayContaining([service(100), service(50, "orders", "other"), service(60, "Orders")]),
      );
      await expect(revoke(service(1, "orders", "missing"))).rejects.toThrow();
    });
  });
}
