import { createCountersign } from "countersign";

const instance = createCountersign({
  appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
  core: { connectionURI: `file:${process.env["DATA_DIR"]}` },
});
/** @param {boolean} useStatic */
const mint = async (useStatic) => {
  const answer = await instance.createJWT({ source: "microservice", service: "orders" }, 600, useStatic);
  if (answer.status !== "OK") throw new Error(answer.status);
  return answer.jwt;
};
const { keys } = await instance.getJWKS();
const staticKids = keys.map((key) => key.kid).filter((kid) => kid.startsWith("s-"));
console.log(JSON.stringify({ token: await mint(true), dynamicToken: await mint(false), staticKids }));
