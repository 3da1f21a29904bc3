import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { createAuthenticate, type Authenticate } from "../../../src/use-cases/authentication/authenticate.ts";
import { ADMIN_KEY, API_KEY, OTHER_API_KEY } from "../../support/core.ts";
import { startInstance, type Instance } from "../../support/instance.ts";

const KEYS = { apiKeys: [API_KEY, OTHER_API_KEY], adminKeys: [ADMIN_KEY] };

let instance: Instance;
let both: Authenticate;
beforeAll(async () => {
  instance = await startInstance();
  await instance.rotateKeys.provisionApp("other");
  both = createAuthenticate(KEYS, instance.state, instance.uses);
});
const typeOf = (authenticate: Authenticate, presented: string | undefined) => authenticate(presented, "public")?.type;

describe("authenticate", () => {
  it("recognizes each key by its kind (S1, S2)", () => {
    const kinds = [API_KEY, OTHER_API_KEY, ADMIN_KEY].map((key) => typeOf(both, key));
    expect(kinds).toEqual(["api-key", "api-key", "admin-key"]);
  });

  it("rejects everything else: no prefixes, other case, spaces, lists or missing keys (S1)", () => {
    const almost = [
      "",
      " ",
      `${API_KEY} `,
      API_KEY.slice(1),
      `${API_KEY}x`,
      API_KEY.toUpperCase(),
      `${API_KEY},${ADMIN_KEY}`,
      "\0",
    ];
    expect([...almost, undefined].map((key) => typeOf(both, key))).toEqual(Array(almost.length + 1).fill(undefined));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), (text) => {
        fc.pre(![API_KEY, OTHER_API_KEY, ADMIN_KEY].includes(text));
        expect(both(text, "public")).toBeUndefined();
      }),
    );
  });

  it("accepts everyone as anonymous only while no API key is configured (S7)", () => {
    const open = createAuthenticate({ ...KEYS, apiKeys: [] }, instance.state, instance.uses);
    const kinds = [undefined, "anything", ADMIN_KEY].map((key) => typeOf(open, key));
    expect(kinds).toEqual(["anonymous", "anonymous", "admin-key"]);
  });
});

describe("a service's credential", () => {
  /** Creates a new service with one credential. */
  async function newService(name: string, expiresAt: number | null = null) {
    const { manageServices } = instance;
    await manageServices.register("public", name);
    const added = await manageServices.addCredential("public", name, expiresAt);
    if (!added.ok) throw new Error(added.problem);
    return added.value;
  }

  it("authenticates its service, in its own app only, whether the other app exists or not (S2)", async () => {
    const { credential, id } = await newService("orders");
    expect(both(credential, "public")).toEqual({
      ...{ type: "service", appId: "public", service: "orders", proof: "credential", credentialId: id },
    });
    expect([both(credential, "other"), both(credential, "ghost")]).toEqual([undefined, undefined]);
  });

  it("is invalid with another character, name or app (S1)", async () => {
    const { credential } = await newService("stock");
    await newService("stock-2");
    const random = credential.slice("cs_stock_".length);
    const almost = [
      credential.slice(0, -1),
      `${credential}A`,
      ` ${credential}`,
      credential.toUpperCase(),
      `cs_stock-2_${random}`,
      `cs__${random}`,
      random,
      credential.replace(/.$/, (last) => (last === "A" ? "B" : "A")),
    ];
    for (const presented of almost) expect(both(presented, "public")).toBeUndefined();
  });

  it("S1 is invalid once it is revoked, has expired, or its service is disabled or deleted; also if no key is required", async () => {
    const { manageServices, clock, state } = instance;
    const open = createAuthenticate({ ...KEYS, apiKeys: [] }, state, instance.uses);
    const types = (credential: string) => [both(credential, "public")?.type, open(credential, "public")?.type];
    const [known, unknown] = [
      ["service", "service"],
      [undefined, undefined],
    ];

    const revoked = await newService("revoked");
    expect(types(revoked.credential)).toEqual(known);
    await manageServices.revokeCredential("public", "revoked", revoked.id);
    expect(types(revoked.credential)).toEqual(unknown);

    const disabled = await newService("disabled");
    await manageServices.disable("public", "disabled");
    expect(types(disabled.credential)).toEqual(unknown);
    await manageServices.enable("public", "disabled");
    expect(types(disabled.credential)).toEqual(known);

    const deleted = await newService("deleted");
    await manageServices.delete("public", "deleted");
    expect(types(deleted.credential)).toEqual(unknown);
    await newService("deleted"); // The name exists again, but without its old credentials.
    expect(types(deleted.credential)).toEqual(unknown);

    const expiring = await newService("expiring", clock.now() + 1_000);
    clock.advance(999);
    expect(types(expiring.credential)).toEqual(known);
    clock.advance(1);
    expect(types(expiring.credential)).toEqual(unknown);

    expect(open("cs_orders_nonsense", "public")).toBeUndefined();
  });

  it("C10 is an API key if a configured API key looks like it", () => {
    const key = "cs_orders_configured-by-hand";
    const configured = createAuthenticate({ ...KEYS, apiKeys: [key] }, instance.state, instance.uses);
    expect(typeOf(configured, key)).toBe("api-key");
  });
});
