import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Env } from "./environment.ts";

/** An answer that is not 200, by the driver interface: plain text of fixed words. */
export function refuseText(c: Context, status: ContentfulStatusCode, message: string): Response {
  return c.body(message, status, { "content-type": "text/plain; charset=utf-8" });
}

/** An answer that is not 200, by the admin API. */
export function refuseAdmin(c: Context, status: ContentfulStatusCode, code: string, message: string): Response {
  return c.body(JSON.stringify({ error: { code, message } }), status, JSON_HEADERS);
}

/** A text that is wrong, by the admin API, with the places where it is. */
export function refuseMistakes(c: Context, message: string, mistakes: readonly object[]): Response {
  return c.body(JSON.stringify({ error: { code: "invalid", message, mistakes } }), 400, JSON_HEADERS);
}

/** What every answer has. */
export const NO_SNIFF = { "x-content-type-options": "nosniff" };
const JSON_HEADERS = { "content-type": "application/json; charset=utf-8" };

export function answerJson(c: Context, body: object): Response {
  return c.body(JSON.stringify(body), 200, JSON_HEADERS);
}

/**
 * The same, written to the socket at once where there is one: a `Response` and the stream in it cost more than a token.
 *
 * @param headers all that the answer has besides its type and length
 */
export function answerJsonAtOnce(c: Context<Env>, body: object, headers: Readonly<Record<string, string>>): Response {
  const outgoing = c.env?.outgoing;
  const text = JSON.stringify(body);
  if (outgoing === undefined) return c.body(text, 200, { ...headers, ...JSON_HEADERS });
  outgoing.writeHead(200, { ...headers, ...JSON_HEADERS, "content-length": Buffer.byteLength(text) }).end(text);
  return RESPONSE_ALREADY_SENT;
}

/** Whether the client has hung up while sending: it reads no answer, and must not be able to fill the log with errors. */
export function hasHungUp(c: Context<Env>): boolean {
  const incoming = c.env?.incoming;
  return incoming !== undefined && incoming.destroyed && !incoming.complete;
}
