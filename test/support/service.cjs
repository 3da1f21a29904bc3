const countersign = require("countersign");
const jwt = require("countersign/recipe/jwt");
const { verifyMicroservice, middleware, errorHandler } = require("countersign/framework/express");

async function main() {
  const wrongOrder = await jwt.createJWT().catch((/** @type {Error} */ error) => error.message);
  countersign.init({
    appInfo: { appName: "orders", apiDomain: "localhost:4001", websiteDomain: "localhost:3000" },
    supertokens: { connectionURI: process.env["CONNECTION_URI"] ?? "" },
    recipeList: [jwt.init()],
  });
  for (const make of [verifyMicroservice, middleware, errorHandler]) make();

  const answer = await jwt.createJWT({ source: "microservice", service: "orders" }, 60);
  if (answer.status !== "OK") throw new Error(answer.status);
  const { keys } = await jwt.default.getJWKS();

  // The ESM build sees the instance that the CommonJS build made.
  const esm = await import("countersign/recipe/jwt");
  const fromEsm = await esm.default.createJWT({}, 60);

  const verifier = countersign
    .createCountersign({
      appInfo: { appName: "inventory", apiDomain: "localhost:4002" },
      core: { connectionURI: process.env["CONNECTION_URI"] ?? "" },
    })
    .createVerifier();
  const decision = await verifier.verify(answer.jwt);

  console.log(
    JSON.stringify({
      sameInstanceFromEsm: fromEsm.status === "OK",
      decision: { allowed: decision.allowed, service: decision.allowed ? decision.caller.service : decision.reason },
      jwks: [...new Set(keys.map((key) => key.kty))],
      wrongOrder,
    }),
  );
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
