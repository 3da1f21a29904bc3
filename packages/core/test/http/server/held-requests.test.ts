// A service that loses its authentication while its request is in flight, or while its platform responds.
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { exportJWK, SignJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, startTestCore, type TestCore } from "../../support/core.ts";
import { formOf } from "../../support/oauth.ts";
import { callServices, newCredential } from "../../support/services.ts";

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ rotation: { algorithms: ["ES256", "RS256"] } });
});

const admin = (path: string, body: object = {}) =>
  core.call(`/admin/v1/apps/public/${path}`, { method: "POST", apiKey: ADMIN_KEY, body });

/** Changes that invalidate the authentication between the two halves of a request. */
const ENDINGS: [string, (service: string, credentialId: string) => Promise<unknown>][] = [
  ["was disabled", (service) => callServices(core, `/${service}/disable`, {})],
  ["was deleted", (service) => callServices(core, `/${service}/delete`, {})],
  ["lost that credential", (service, id) => callServices(core, `/${service}/credentials/${id}/revoke`, {})],
];
const restored = async (service: string) => {
  await callServices(core, `/${service}/enable`, {});
  return newCredential(core, service);
};

/** Sends the head, waits until the core has read it, runs `between`, and sends the rest. Returns status and text. */
async function sendInTwo(head: string, rest: string, between: () => Promise<unknown>): Promise<[number, string]> {
  const socket: Socket = connect(core.port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  await once(socket, "connect");
  const asked = once(socket, "data");
  socket.write(head);
  await asked; // 100 Continue: the headers have been read
  text = "";
  await between();
  socket.write(rest);
  await once(socket, "close");
  return [Number(text.split(" ")[1]), text.split("\r\n\r\n")[1] ?? ""];
}

describe("S2 a request that is held open", () => {
  it.each(ENDINGS)("gives a service no token after it %s", async (_, end) => {
    const { credential, id } = await restored("holding");
    const body = JSON.stringify({ payload: {}, algorithm: "ES256", jwksDomain: "https://a.test", validity: 60 });
    const send = (between: () => Promise<unknown>) => {
      const head = `POST /recipe/jwt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\napi-key: ${credential}\r\nContent-Length: ${body.length}\r\n\r\n`;
      return sendInTwo(head, body, between);
    };
    expect((await send(async () => {}))[0]).toBe(200);
    expect(await send(async () => end("holding", id))).toEqual([401, "Invalid API key"]);
  });

  it.each(ENDINGS.slice(0, 2))(
    "gives no access token after its service %s, with a platform token either",
    async (_, end) => {
      const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "p", alg: "ES256" }] };
      const [asked, answerNow] = [withResolvers(), withResolvers()];
      const platform = createServer((request, response) => {
        asked.resolve();
        const document = request.url === "/jwks" ? jwks : { issuer, jwks_uri: `${issuer}/jwks` };
        void answerNow.promise.then(() => response.end(JSON.stringify(document)));
      });
      await new Promise<void>((resolve) => platform.listen(0, "127.0.0.1", resolve));
      const issuer = `http://127.0.0.1:${(platform.address() as AddressInfo).port}`;
      await restored("starting");
      expect((await admin("trusts", { service: "starting", issuer, subject: "w", audience: "core" })).status).toBe(200);
      const now = Math.floor(Date.now() / 1000);
      const token = await new SignJWT({ iss: issuer, sub: "w", aud: "core", exp: now + 60 })
        .setProtectedHeader({ alg: "ES256", kid: "p" })
        .sign(privateKey);
      const login = () =>
        core.call("/oauth/token", {
          method: "POST",
          apiKey: null,
          headers: { "content-type": "application/x-www-form-urlencoded" },
          body: formOf({
            grant_type: "client_credentials",
            client_assertion: token,
            client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
          }),
        });
      const answered = login();
      await asked.promise;
      await end("starting", "");
      answerNow.resolve();
      const answer = await answered;
      expect([answer.status, answer.json["error"]]).toEqual([401, "invalid_client"]);
      platform.close();
    },
  );
});

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
