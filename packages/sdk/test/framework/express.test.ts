import express, { type Express, type NextFunction, type Request, type Response } from "express";
import express4 from "express4";
import { describe, expect, test } from "vitest";
import { errorHandler, middleware, verifyMicroservice } from "../../src/framework/express.ts";
import { describeFramework, type Framework } from "../support/framework-suite.ts";
import { listen } from "../support/http.ts";
import { appInfo, instanceAt } from "../support/instances.ts";
import { rsaKey, tokenBy } from "../support/keys.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

const serviceOn =
  (makeApp: () => Express): Framework =>
  ({ front, handlesErrors, guard, handle, own }) => {
    const app = makeApp();
    if (front !== undefined) app.use(middleware(front));
    if (guard !== undefined) {
      const route = app.route("/stock").all(verifyMicroservice(guard));
      route.get((req, res) => void res.json(handle(req.caller)));
      route.post(express.json(), (req, res) => void res.json(handle(req.caller, req.body)));
    }
    app.get("/own", (_req, res) => void res.json(own()));
    if (handlesErrors === true) app.use(errorHandler());
    return app;
  };

describeFramework("Express 5", serviceOn(express));
describeFramework("Express 4", serviceOn(express4));

describe("middleware of Express", () => {
  test("finds its paths under a mount path", async () => {
    const core = await startStandInCore();
    const app = express();
    app.use("/auth", middleware({ countersign: instanceAt(core.url) }));
    const service = await listen(app);
    expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(200);
  });

  test("a route that an override removed is 404", async () => {
    const core = await startStandInCore();
    const override = { apis: (original: object) => ({ ...original, getJWKSGET: undefined }) };
    const service = await listen(express().use(middleware({ countersign: instanceAt(core.url, { override }) })));
    expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(404);
    expect(core.connections()).toBe(0);
  });

  test("another service can verify with this service's endpoints alone", async () => {
    const core = await startStandInCore();
    const service = await listen(express().use(middleware({ countersign: instanceAt(core.url) })));
    const result = await instanceAt(core.url).createJWT({ source: "microservice", sub: "orders" });
    const app = express();
    const jwksUri = `${service.url}/auth/jwt/jwks.json`;
    app.get("/stock", verifyMicroservice({ jwksUri, issuer: appInfo.apiDomain }), (_req, res) => void res.end());
    const callee = await listen(app);
    const statusFor = async (token: string) =>
      (await fetch(`${callee.url}/stock`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect(await statusFor(result.status === "OK" ? result.jwt : "")).toBe(200);
    expect(await statusFor(tokenBy(rsaKey(core.key.kid), { exp: 4_102_444_800 }))).toBe(401);
  });
});

test("errorHandler of Express leaves other errors to the handlers after it", async () => {
  const app = express();
  app.get("/", () => {
    throw new Error("own");
  });
  app.use(errorHandler());
  app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => void res.status(418).end(error.message));
  const answer = await fetch((await listen(app)).url);
  expect([answer.status, await answer.text()]).toEqual([418, "own"]);
});
