import { expect, it } from "vitest";
import { storedKey } from "../../support/stored-key.ts";
import {
  clientKey,
  credential,
  EMPTY_CONTENT,
  EMPTY_SNAPSHOT,
  sorted,
  trust,
  withHexKeys,
  type StoreFixture,
} from "./fixture.ts";

export function describeContent(fixture: StoreFixture): void {
  const { content, insertKeys, snapshot, write } = fixture;

  it("is replaced atomically, for any size, and the store's order continues", async () => {
    await insertKeys(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
    await write(async ({ revocations }) => {
      await revocations.upsertToken({ appId: "one", jti: "j", expiresAt: 9 });
      await revocations.upsertService({ appId: "two", service: "orders", notBefore: 9 });
    });
    const { epoch: before, generation } = await fixture.store.readState();
    await write((writer) => writer.replaceContent(EMPTY_CONTENT));
    expect(await content()).toEqual({ ...EMPTY_SNAPSHOT, epoch: before + 1, generation });

    const many = largeContent();
    await write((writer) => writer.replaceContent(many));
    const read = await snapshot();
    expect(read.epoch).toBe(before + 2);
    expect(read.apps).toEqual(many.apps.map((app) => ({ ...app, rotationDue: false })));
    expect(withHexKeys(read.keys)).toEqual(withHexKeys(many.keys));
    for (const name of [
      "revokedTokens",
      "revokedServices",
      "services",
      "credentials",
      "clientKeys",
      "trusts",
    ] as const) {
      expect(sorted(read[name]), name).toEqual(sorted(many[name]));
    }
    expect(sorted(read.policies)).toEqual(sorted(many.policyVersions.filter(({ version }) => version === 2)));
    expect(sorted((await fixture.store.readContent()).policyVersions)).toEqual(sorted(many.policyVersions));
  });
}

/** More rows than one statement inserts, in every table. */
function largeContent() {
  const names = Array.from({ length: 2_500 }, (_, i) => `app-${String(i).padStart(4, "0")}`);
  return {
    apps: names.map((appId, i) => ({ appId, createdAt: i, algorithms: i === 7 ? (["Ed25519"] as const) : null })),
    keys: names.map((appId, sequence) => storedKey({ appId, sequence, kid: `k-${appId}` })),
    revokedTokens: names.map((jti, expiresAt) => ({
      appId: "app-0000",
      jti,
      expiresAt,
      ...(expiresAt % 2 !== 0 && { service: "orders" }),
    })),
    revokedServices: names.map((service, notBefore) => ({ appId: "app-0001", service, notBefore })),
    services: names.map((name, i) => ({ appId: "app-0002", name, createdAt: i, disabledAt: i % 2 ? i : null })),
    credentials: names.map((service, i) => credential({ appId: "app-0002", service, id: `c-${i}`, createdAt: i })),
    // Two versions for every other app.
    policyVersions: names.map((name, i) => ({
      appId: i % 2 === 0 ? name : names[i - 1]!,
      version: (i % 2) + 1,
      appliedAt: i,
      appliedBy: "anna",
      document: '{"services":{}}',
    })),
    clientKeys: names.map((service, i) => clientKey({ appId: "app-0002", service, createdAt: i })),
    trusts: names.map((service, i) => trust({ appId: "app-0002", service, id: `t-${i}`, createdAt: i })),
  };
}
