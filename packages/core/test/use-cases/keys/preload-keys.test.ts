// What an instance cannot open is known long before it is needed.
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

it("S8 an instance that lacks the master key which others have resealed under says so at once, and once, and signs on", async () => {
  const [old, next] = [randomBytes(32), randomBytes(32)];
  const a = await openInstance({ vault: createEnvelopeVault([old]) });
  await a.rotateKeys.provisionApp("public");
  await a.rotateKeys.rotateAll();
  const look = createPreloadKeys(a.state, a.vault, a.log);
  await look();
  expect(alarms(a)).toEqual([]);

  const b = await openInstance({ dataDir: a.dataDir, clock: a.clock, vault: createEnvelopeVault([next, old]) });
  expect(await createResealKeys(b.store, b.vault)()).toMatchObject({ ok: true });
  await a.state.refresh();
  for (let i = 0; i < 3; i++) await look();
  expect(alarms(a)).toEqual([
    expect.stringMatching(
      new RegExp(`master key missing, stored signing keys cannot be decrypted[^]*'${b.vault.masterKeyId}'`),
    ),
  ]);
  expect(await issue(a)).toBe("issued");
  // The next key too, which it had opened ahead of its turn.
  a.clock.advance(WEEK);
  await a.state.refresh();
  expect(await issue(a)).toBe("issued");
});

it("S8 a master key that can be read again by then is no alarm", async () => {
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

it("a vault that is away is asked again at the next look, and what was opened in time signs without it", async () => {
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
  const look = createPreloadKeys(a.state, a.vault, a.log);
  away = true;
  await look();
  await look();
  expect(alarms(a)).toHaveLength(3); // one for each of its keys
  expect(alarms(a)[0]).toMatch(/failed to decrypt signing key[^]*the KMS is away/);
  away = false;
  await look();
  away = true;
  a.clock.advance(WEEK);
  await a.state.refresh();
  expect(await issue(a)).toBe("issued");
  expect(alarms(a)).toHaveLength(3);
});
