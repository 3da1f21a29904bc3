import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { HttpContext } from "./socket-context.ts";

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

export function answerJson(c: Pick<HttpContext, "body">, body: object): Response {
  return c.body(JSON.stringify(body), 200, JSON_HEADERS);
}

/** Whether the client has hung up while sending: it reads no answer, and must not be able to fill the log with errors. */
export function hasHungUp(c: Pick<HttpContext, "env">): boolean {
  const incoming = c.env?.incoming;
  return incoming !== undefined && incoming.destroyed && !incoming.complete;
}
