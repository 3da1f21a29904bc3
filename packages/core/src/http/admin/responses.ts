import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import type { ChangeResult } from "../../domain/change-result.ts";
import { readJsonBody } from "../request/body.ts";
import type { AdminEnv } from "../request/hono-env.ts";
import { jsonResponse, type CoreResponse } from "../request/responses.ts";

export type AdminContext = Context<AdminEnv>;

/** Returns an error in the form of the admin API. */
export function adminError(status: number, code: string, message: string): CoreResponse {
  return jsonResponse({ error: { code, message } }, status);
}

export function send(c: AdminContext, { status, headers, body }: CoreResponse): Response {
  return c.body(body ?? "", status as ContentfulStatusCode, headers);
}

export function sendJson(c: AdminContext, body: object): Response {
  return send(c, jsonResponse(body));
}

const CODES = { 400: "invalid", 404: "not_found", 409: "conflict" } as const;

/** Sends the new value under this name, or why the change was rejected. */
export function sendResult<T>(c: AdminContext, name: string, result: ChangeResult<T>): Response {
  if (result.ok) return sendJson(c, { [name]: result.value });
  return send(c, adminError(result.status, CODES[result.status], result.problem));
}

/** Sends what is wrong with a text, with line and column of each mistake. */
export function sendMistakes(c: AdminContext, message: string, mistakes: readonly object[]): Response {
  return send(c, jsonResponse({ error: { code: "invalid", message, mistakes } }, 400));
}

export function appOf(c: AdminContext): string {
  return c.req.param("app")!;
}

/**
 * Reads the body. Returns the response if it does not match the schema.
 *
 * @param limit bytes
 */
export async function readBody<S extends z.ZodType>(
  c: AdminContext,
  schema: S,
  limit?: number,
): Promise<z.infer<S> | Response> {
  const read = await readJsonBody(c.env, limit);
  if (!read.ok) {
    return send(c, adminError(read.status, read.status === 413 ? "too_large" : "invalid", read.problem));
  }
  const parsed = schema.safeParse(read.value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const at = issue.path.join(".");
  // The name of an unknown field is input, which responses never echo.
  const message = issue.code === "unrecognized_keys" ? "an unknown field" : issue.message;
  return send(c, adminError(400, "invalid", `${at === "" ? "body" : at}: ${message}`));
}
