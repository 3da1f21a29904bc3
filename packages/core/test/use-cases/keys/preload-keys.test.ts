// An instance reports keys that it cannot decrypt before it needs them.
import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { createEnvelopeVault } from "../../../src/adapters/vault/envelope-vault.ts";
import type { KeyVault } from "../../../src/ports/key-vault.ts";
import { createPreloadKeys } from "../../../src/use-cases/keys/preload-keys.ts";
import { createResealKeys } from "../../../src/use-cases/keys/reseal-keys.ts";
import { openInstance, type Instance } from "../../support/instance.ts";

const WEEK = 7 * 86_400_000;

const issue = async ({ issueToken }: Instance) => {
  const facts = { kind: "dynamic", algorithm: "ES256", payload: {}, issuer: "x", validity: 60 } as const;
  return (await issueToken({ appId: "public", ...facts })).status;
};
const alarms = ({ log }: Instance) => log.lines.filter((line) => line.startsWith("error"));

it("S8 an instance without the master key of a reseal logs it immediately and once, and keeps signing", async () => {
  const [old, next] = [randomBytes(32), randomBytes(32)];
  const a = await openInstance({ vault: createEnvelopeVault([old]) });
  await a.rotateKeys.provisionApp("public");
  await a.rotateKeys.rotateAll();
  const preload = createPreloadKeys(a.state, a.vault, a.log);
  await preload();
  expect(alarms(a)).toEqual([]);

  const b = await openInstance({ dataDir: a.dataDir, clock: a.clock, vault: createEnvelopeVault([next, old]) });
  expect(await createResealKeys(b.store, b.vault)()).toMatchObject({ ok: true });
  await a.state.refresh();
  for (let i = 0; i < 3; i++) await preload();
  expect(alarms(a)).toEqual([
    expect.stringMatching(
      new RegExp(`master key missing, stored signing keys cannot be decrypted[^]*'${b.vault.masterKeyId}'`),
    ),
  ]);
  expect(await issue(a)).toBe("issued");
  // The next key, too, which it decrypted before its activation time.
  a.clock.advance(WEEK);
  await a.state.refresh();
  expect(await issue(a)).toBe("issued");
});

it("S8 a master key that can be reloaded causes no error", async () => {
  const [old, next] = [randomBytes(32), randomBytes(32)];
  let file = [old];
  const a = await openInstance({ vault: createEnvelopeVault(file, async () => file) });
  await a.rotateKeys.provisionApp("public");
  const b = await openInstance({ dataDir: a.dataDir, clock: a.clock, vault: createEnvelopeVault([next, old]) });
  await createResealKeys(b.store, b.vault)();
  file = [next, old];
  await a.state.refresh();
  await createPreloadKeys(a.state, a.vault, a.log)();
  expect(alarms(a)).toEqual([]);
});

it("an unavailable vault is retried at the next poll, and keys decrypted in time sign without it", async () => {
  const own = createEnvelopeVault([randomBytes(32)]);
  let away = false;
  const vault: KeyVault = {
    ...own,
    masterKeyId: own.masterKeyId,
    open: (...parameters) => (away ? Promise.reject(new Error("the KMS is away")) : own.open(...parameters)),
  };
  const a = await openInstance({ vault });
  await a.rotateKeys.provisionApp("public");
  await a.rotateKeys.rotateAll();
  const preload = createPreloadKeys(a.state, a.vault, a.log);
  away = true;
  await preload();
  await preload();
  expect(alarms(a)).toHaveLength(3); // one for each of its keys
  expect(alarms(a)[0]).toMatch(/failed to decrypt signing key[^]*the KMS is away/);
  away = false;
  await preload();
  away = true;
  a.clock.advance(WEEK);
  await a.state.refresh();
  expect(await issue(a)).toBe("issued");
  expect(alarms(a)).toHaveLength(3);
});
