import express, { type Request, type Response } from "express";
import { afterEach, expect, test, vi } from "vitest";
import { defaultInstance } from "../../src/instance/default-instance.ts";
import { middleware, verifyMicroservice } from "../../src/framework/express.ts";
import { createServiceFetch, init } from "../../src/index.ts";
import { createJWT } from "../../src/recipe-jwt.ts";
import { startTestIssuer, type TestIssuer, type TestIssuerOptions } from "../../src/testing/index.ts";
import { listen } from "../support/http.ts";
import { forgetDefaultInstance } from "../support/instances.ts";

let issuer: TestIssuer;
afterEach(async () => {
  await issuer.close();
  expect(defaultInstance()).toBeUndefined();
  vi.unstubAllEnvs();
});

/** A service as users write it, without knowledge of the test. */
async function service(options: TestIssuerOptions = {}) {
  issuer = startTestIssuer(options);
  init({
    appInfo: { appName: "inventory", apiDomain: "http://localhost" },
    core: { connectionURI: "http://192.0.2.1" },
  });
  const app = express();
  app.use(middleware());
  app.get(
    "/stock",
    verifyMicroservice(),
    (req: Request, res: Response) => void res.json({ calledBy: req.caller?.service }),
  );
  const { url } = await listen(app);
  return async (headers: object = {}) => {
    const answer = await fetch(`${url}/stock`, { headers: { ...headers } });
    return answer.status === 200 ? ((await answer.json()) as { calledBy: string }).calledBy : answer.status;
  };
}

test.each(["RS256", "ES256", "Ed25519"] as const)(
  "only a service named by actAs is accepted (%s)",
  async (algorithm) => {
    const ask = await service({ algorithm });
    expect(await ask(issuer.actAs("orders"))).toBe("orders");
    expect(await ask()).toBe(401);
    expect(await ask(issuer.actAsStranger("orders"))).toBe(401);
    expect(await ask(issuer.actAs("orders", { source: "user" }))).toBe(403);
    expect(await ask(issuer.actAs("orders", { aud: "payments" }))).toBe(401);
    expect(await ask(issuer.actAs("orders", { exp: undefined }))).toBe(401);
  },
);

test("advance changes the time immediately, for tokens and keys", async () => {
  const ask = await service();
  const headers = issuer.actAs("orders");
  expect(await ask(headers)).toBe("orders");
  await issuer.advance(3_620);
  expect(await ask(headers)).toBe("orders"); // a tolerance of 30 s
  await issuer.advance(20);
  expect(await ask(headers)).toBe(401);
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
  await expect(issuer.advance(-1)).rejects.toThrow(/advance: expected seconds from 0 up, got -1/);
});

test("tokens of a rotated key remain valid, those of a revoked key do not", async () => {
  const ask = await service();
  const first = issuer.actAs("orders");
  await issuer.rotate();
  const second = issuer.actAs("orders");
  expect([await ask(first), await ask(second)]).toEqual(["orders", "orders"]);
  await issuer.revokeKey();
  expect([await ask(first), await ask(second)]).toEqual(["orders", 401]);
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
});

test("tokens and services are revoked", async () => {
  const ask = await service();
  const [one, two] = [issuer.actAs("orders"), issuer.actAs("orders")];
  expect([await ask(one), await ask(two)]).toEqual(["orders", "orders"]);
  await issuer.revokeToken(one);
  expect([await ask(one), await ask(two)]).toEqual([401, "orders"]);
  await issuer.revokeService("orders");
  expect([await ask(two), await ask(issuer.actAs("payments"))]).toEqual([401, "payments"]);
  await issuer.advance(1);
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
  await expect(issuer.revokeToken("nothing")).rejects.toThrow(/revokeToken: expected headers of actAs/);
});

test("while the issuer is down, known keys verify for three days; new keys after it is back", async () => {
  const ask = await service();
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
  issuer.goDown();
  await issuer.advance(71 * 3_600);
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
  expect((await createJWT({}).catch((error: Error) => error)) instanceof Error).toBe(true);
  await issuer.advance(2 * 3_600);
  expect(await ask(issuer.actAs("orders"))).toBe(503);
  await issuer.comeBack();
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
});

test("a clock that is ahead by more than the tolerance rejects tokens", async () => {
  const ask = await service();
  issuer.skew(29);
  expect(await ask(issuer.actAs("orders"))).toBe("orders");
  issuer.skew(90);
  expect(await ask(issuer.actAs("orders"))).toBe(401);
});

test("the service under test calls with a token of the issuer, and gets a new one if it was revoked", async () => {
  const call = createServiceFetch({ audience: "inventory", scope: "stock:read" });
  for (let i = 0; i < 2; i++) {
    issuer = startTestIssuer(); // The second one has other keys, and an existing module uses them.
    const app = express();
    const guard = verifyMicroservice({ audience: "inventory", scope: "stock:read" });
    app.get("/stock", guard, (_req: Request, res: Response) => void res.end());
    const { url, requests } = await listen(app);
    const ask = async () => (await call(`${url}/stock`)).status;
    expect(await ask()).toBe(200);
    const [, token = ""] = requests[0]!.headers.authorization!.split(" ");
    await issuer.revokeToken(token);
    expect([await ask(), requests.length]).toEqual([200, 3]);
    await issuer.close();
  }
});

test.each([
  [{}, "under-test"],
  [{ appName: "orders" }, "orders"],
])("the service under test has a name for its callees: of %j, %s", async (options, name) => {
  await service(options);
  const app = express();
  app.get(
    "/",
    verifyMicroservice({ audience: "inventory", allow: name }),
    (req, res) => void res.json(req.caller?.service),
  );
  const callee = await listen(app);
  const call = createServiceFetch({ audience: "inventory" });
  const answer = await call(callee.url);
  expect([answer.status, await answer.json()]).toEqual([200, name]);
  call.close();
});

test("createJWT and the endpoints of the service under test use the issuer", async () => {
  const ask = await service();
  const answer = await createJWT({ sub: "orders", source: "microservice" }, 60);
  if (answer.status !== "OK") throw new Error(answer.status);
  expect(await ask({ authorization: `Bearer ${answer.jwt}` })).toBe("orders");
  const { keys } = await issuer.countersign.getJWKS();
  expect(keys).toMatchObject([{ kid: "s-test-1", alg: "RS256" }]);
});

test("it does not start in production, and restores the previous instance", async () => {
  init({ appInfo: { appName: "a", apiDomain: "http://localhost" } });
  const before = defaultInstance();
  issuer = startTestIssuer({ algorithm: "Ed25519" });
  expect(defaultInstance()).toBe(issuer.countersign);
  await issuer.close();
  expect(defaultInstance()).toBe(before);
  await forgetDefaultInstance();
  vi.stubEnv("NODE_ENV", "production");
  expect(() => startTestIssuer()).toThrow(/not allowed if NODE_ENV is production/);
  vi.unstubAllEnvs();
  expect(() => startTestIssuer({ algorithm: "HS256" as "RS256" })).toThrow(/algorithm: expected one of/);
});
