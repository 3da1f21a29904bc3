// R15: a backup contains services, credentials and the policy, and they work in the restored core.
import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, SignJWT } from "jose";
import { expect } from "vitest";
import { itOnPostgres, sharedPostgres } from "../../packages/core/test/support/postgres.ts";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const ISSUER = "https://auth.example.com";
const PLATFORM = "https://kubernetes.default.svc";
const WORKLOAD = "system:serviceaccount:shop:orders";
const POLICY = `services:
  orders: { calls: { inventory: [stock:read], archive: [] } }
  inventory: {}
  archive: { reportOnly: true }
  retired: {}
`;

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signed = (claims: object) =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuedAt()
    .setExpirationTime("1m")
    .sign(privateKey);

type Environment = Record<string, string>;
async function onSqlite(): Promise<Environment> {
  return { COUNTERSIGN_DATA_DIR: await temporaryDirectory() };
}
async function onPostgres(): Promise<Environment> {
  const [server, directory] = [await sharedPostgres(), await temporaryDirectory()];
  return { COUNTERSIGN_DATA_DIR: directory, COUNTERSIGN_DATABASE: await server.newDatabase() };
}

/** Runs the command on the store. @returns its output */
async function run(env: Environment, ...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, env);
  expect([command, code, stderr]).toEqual([command, 0, expect.not.stringContaining("countersign:")]);
  return stdout;
}

/** Everything that the command shows of services and policy. */
async function shownBy(env: Environment): Promise<unknown[]> {
  const shown: unknown[] = [];
  for (const command of [
    ...["services show orders", "services show retired", "services list", "services keys orders", "services trusts"],
    ...["policy show", "policy show 1", "policy versions"],
  ]) {
    shown.push(JSON.parse(await run(env, ...command.split(" "), "--json")));
  }
  return shown;
}

/** The response of the token endpoint: sub, aud and scope of the token, or the error. */
async function ask(url: string, form: Record<string, string>): Promise<string> {
  const body = new URLSearchParams({ grant_type: "client_credentials", ...form });
  const response = await fetch(`${url}/oauth/token`, { method: "POST", body });
  const { access_token, error } = (await response.json()) as { access_token?: string; error?: string };
  if (access_token === undefined) return error!;
  const { sub, aud, scope } = JSON.parse(
    Buffer.from(access_token.split(".")[1]!, "base64url").toString(),
  ) as Environment;
  return [sub, aud, scope].join(" ");
}

itOnPostgres(
  "R15 from PostgreSQL to an embedded store every client is who it was, by secret, own key and platform, and may call whom it could",
  async () => {
    const masterKey = { COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") };
    const [from, to] = [
      { ...(await onPostgres()), ...masterKey },
      { ...(await onSqlite()), ...masterKey },
    ];
    const files = await temporaryDirectory();
    const fileOf = async (name: string, text: string) => {
      await writeFile(join(files, name), text);
      return join(files, name);
    };
    const jwks = await fileOf("jwks.json", JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k" }] }));
    const start = (env: Environment) => startCore(env["COUNTERSIGN_DATA_DIR"]!, ["--public-url", ISSUER], env);
    const core = await start(from);
    const services = (...command: string[]) => run(from, "services", ...command);
    for (const name of ["orders", "inventory", "archive", "retired"]) await services("register", name);
    const addCredential = async (name: string) => (await services("credential", "add", name)).trim();
    const [good, revoked, ofRetired] = [
      await addCredential("orders"),
      await addCredential("orders"),
      await addCredential("retired"),
    ];
    const { credentials } = JSON.parse(await services("show", "orders", "--json")) as {
      credentials: { id: string }[];
    };
    await services("credential", "revoke", "orders", credentials[1]!.id, "--yes");
    await services("disable", "retired", "--yes");
    await services("keys", "orders", "--set", jwks);
    await services(
      "trust",
      "orders",
      "--issuer",
      PLATFORM,
      "--subject",
      WORKLOAD,
      "--audience",
      "core",
      "--jwks",
      jwks,
    );
    for (const text of [POLICY.replace("[stock:read]", "[stock:delete]"), POLICY]) {
      await run(from, "policy", "apply", await fileOf("policy.yaml", text), "--yes");
    }
    const before = await shownBy(from);
    const backup = join(files, "backup.json");
    await run(from, "backup", backup);
    await core.stop();
    const text = await readFile(backup, "utf8");
    for (const credential of [good, revoked, ofRetired]) expect(text).not.toContain(credential.slice(-43)); // S1

    await run(to, "restore", backup);
    expect(await shownBy(to)).toEqual(before);
    const restored = await start(to);
    const bySecret = (client_secret: string, client_id = "orders") => ({ client_id, client_secret });
    const TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    const bySigned = async (claims: object) => ({
      client_assertion: await signed(claims),
      client_assertion_type: TYPE,
    });
    const audience = "inventory";
    for (const proof of [
      bySecret(good),
      await bySigned({ iss: "orders", sub: "orders", aud: ISSUER, jti: randomUUID() }),
      await bySigned({ iss: PLATFORM, sub: WORKLOAD, aud: "core" }),
    ]) {
      expect(await ask(restored.url, { ...proof, audience })).toBe("orders inventory stock:read");
    }
    for (const wrong of [
      ...[bySecret(revoked), bySecret(ofRetired, "retired")],
      await bySigned({ iss: PLATFORM, sub: `${WORKLOAD}-2`, aud: "core" }),
    ]) {
      expect(await ask(restored.url, { ...wrong, audience })).toBe("invalid_client");
    }
    const orders = bySecret(good);
    expect(await ask(restored.url, { ...orders, audience, scope: "stock:delete" })).toBe("invalid_scope");
    expect(await ask(restored.url, { ...orders, audience: "retired" })).toBe("invalid_target");
    expect(await ask(restored.url, { ...orders, audience: "archive", scope: "read" })).toBe("orders archive read");
    expect(restored.stderr).not.toContain(good.slice(-43));
  },
);
