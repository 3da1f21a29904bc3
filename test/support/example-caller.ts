// The core and the caller that the example services are tested with.
import { createCountersign, type Countersign } from "countersign";
import { generateKeyPairSync, sign } from "node:crypto";
import { expect } from "vitest";
import { startCoreProcess, temporaryDirectory } from "./processes.ts";

export interface ExampleCaller {
  readonly coreUrl: string;
  /** Expects that a service serves its key set and accepts tokens of `orders` only. */
  expectGuarded(url: string, aud?: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts a core process for all examples of a test file. */
export async function startExampleCaller(): Promise<ExampleCaller> {
  const cleanUps: (() => void | Promise<void>)[] = [];
  const atEnd = (cleanUp: () => void | Promise<void>) => void cleanUps.unshift(cleanUp);
  const { url: coreUrl } = await startCoreProcess(await temporaryDirectory(atEnd), [], {}, atEnd);
  const orders = createCountersign({
    appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
    core: { connectionURI: coreUrl },
  });
  return {
    coreUrl,
    expectGuarded: (url, aud) => expectGuarded(orders, coreUrl, url, aud),
    async close() {
      await orders.close();
      for (const cleanUp of cleanUps) await cleanUp();
    },
  };
}

async function expectGuarded(orders: Countersign, coreUrl: string, url: string, aud?: string): Promise<void> {
  const minted = await orders.createJWT({ source: "microservice", service: "orders", aud }, 600);
  if (minted.status !== "OK") throw new Error(minted.status);
  const ask = async (token?: string) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(`${url}/stock/anvil`, { headers });
    return [answer.status, await answer.json(), answer.headers.get("www-authenticate")];
  };
  expect(await ask(minted.jwt)).toEqual([200, { item: "anvil", left: 7, caller: "orders" }, null]);
  const challenge = 'Bearer realm="microservices"';
  expect(await ask()).toEqual([401, { message: "Unauthorized" }, challenge]);
  const refused = [401, { message: "Unauthorized" }, `${challenge}, error="invalid_token"`];
  expect(await ask(forged(minted.jwt))).toEqual(refused);

  const keys = await fetch(`${url}/auth/jwt/jwks.json`);
  expect(await keys.json()).toEqual(await (await fetch(`${coreUrl}/.well-known/jwks.json`)).json());
}

/** Returns the token signed with another key. */
function forged(token: string): string {
  const input = token.slice(0, token.lastIndexOf("."));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return `${input}.${sign("sha256", Buffer.from(input), privateKey).toString("base64url")}`;
}
