// The token endpoint answers plain requests without a web framework in between: nobody must be able to tell.
import { beforeAll, expect, it } from "vitest";
import { fakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, partsOf, type Answer } from "../../support/core.ts";
import { basic, startOAuthCore, type FormFields, type OAuthCore } from "../../support/oauth.ts";
import { newCredential } from "../../support/services.ts";

const clock = fakeClock();
let core: OAuthCore;
let elsewhere: string;
beforeAll(async () => {
  core = await startOAuthCore({ publicUrl: "https://a.test", maxRingAge: 1e15 }, { clock });
  await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
  elsewhere = (await newCredential(core, "orders", { app: "a1" })).credential;
});

const GRANT = { grant_type: "client_credentials" };
const own = () => basic("orders", core.credentials["orders"]!);
const REQUESTS: readonly [string, number, () => [FormFields, Record<string, string>?]][] = [
  ["a good Basic", 200, () => [{ ...GRANT, audience: "inventory" }, own()]],
  [
    "a good secret in the body",
    200,
    () => [{ ...GRANT, audience: "inventory", client_id: "orders", client_secret: core.credentials["orders"]! }],
  ],
  ["a scope", 200, () => [{ ...GRANT, audience: "inventory", scope: "stock:read" }, own()]],
  ["a wrong secret", 401, () => [GRANT, basic("orders", "wrong")]],
  ["a secret of another app", 401, () => [GRANT, basic("orders", elsewhere)]],
  ["nothing", 401, () => [{}]],
  ["no grant", 400, () => [{}, own()]],
  ["two ways", 400, () => [{ ...GRANT, client_secret: "x" }, own()]],
  ["what the policy lacks", 400, () => [{ ...GRANT, audience: "nobody" }, own()]],
  ["another content type", 400, () => [GRANT, { ...own(), "content-type": "application/json" }]],
  ["too much", 400, () => [{ ...GRANT, audience: "a".repeat(70_000) }, own()]],
];

it.each(REQUESTS)("%s", async (_what, status, asked) => {
  clock.advance(60_000); // as if this address had not guessed before
  const [form, headers] = asked();
  const [plain, other] = [
    await core.postForm("/oauth/token", form, headers),
    await core.postForm("/oauth/token?", form, headers),
  ];
  expect(plain.status).toBe(status);
  expect(factsOf(plain)).toEqual(factsOf(other));
});

it("S2 of an app, as everywhere: its own services only", async () => {
  clock.advance(60_000);
  const at = (path: string, secret: string) => core.postForm(path, GRANT, basic("orders", secret));
  for (const path of ["/appid-a1/oauth/token", "/appid-a1/oauth/token?"]) {
    const good = await at(path, elsewhere);
    expect(partsOf(good.json["access_token"] as string).claims["iss"]).toBe("https://a.test/appid-a1");
    expect((await at(path, core.credentials["orders"]!)).status).toBe(401);
    expect((await at(path.replace("a1", "ghost"), elsewhere)).status).toBe(401);
  }
});

/** All of an answer but what is new each time. */
function factsOf({ status, json, headers }: Answer): object {
  const token = json["access_token"];
  const { header, claims } = typeof token === "string" ? partsOf(token) : { header: {}, claims: {} };
  const told = Object.fromEntries([...headers].filter(([name]) => name !== "date" && name !== "content-length"));
  return { status, told, json: { ...json, access_token: { header, claims: { ...claims, jti: "" } } } };
}
