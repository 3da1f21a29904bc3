import type { Context } from "hono";
import type { z } from "zod";
import type { ChangeResult } from "../../domain/change-result.ts";
import { readJsonBody } from "../request/body.ts";
import type { Env } from "../request/use-cases.ts";
import { answerJson, refuseAdmin } from "../request/responses.ts";

export function appOf(c: Context<Env>): string {
  return c.req.param("app")!;
}

const CODES = { 400: "invalid", 404: "not_found", 409: "conflict" } as const;

export function answer<T>(c: Context<Env>, name: string, managed: ChangeResult<T>): Response {
  if (managed.ok) return answerJson(c, { [name]: managed.value });
  return refuseAdmin(c, managed.status, CODES[managed.status], managed.problem);
}

/** The body by its schema, or the answer that says which field is wrong. @param most bytes */
export async function readBody<S extends z.ZodType>(
  c: Context<Env>,
  schema: S,
  most?: number,
): Promise<z.infer<S> | Response> {
  const read = await readJsonBody(c, most);
  if (!read.ok) return refuseAdmin(c, read.status, read.status === 413 ? "too_large" : "invalid", read.problem);
  const parsed = schema.safeParse(read.value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const at = issue.path.join(".");
  // A name that we do not know is the caller's text, and no answer of ours repeats that.
  const message = issue.code === "unrecognized_keys" ? "an unknown field" : issue.message;
  return refuseAdmin(c, 400, "invalid", `${at === "" ? "body" : at}: ${message}`);
}
