import { decodeUtf8, LIMITS, parseStrictJson, type JsonObject, type JsonProblem } from "countersign/protocol";
import { MAX_POLICY_BYTES } from "../../domain/policy/policy-document.ts";
import type { HttpContext } from "./http-context.ts";

export type ReadBody = { ok: true; value: JsonObject } | { ok: false; status: 400 | 413; problem: string };

/** A payload can be as deep as the claims of a token, and the body is one level around it. */
const BODY_DEPTH = LIMITS.jsonDepth + 1;

/** For a policy, which is a string in JSON: its line breaks and quotes take two bytes each. */
export const POLICY_BODY_BYTES = 2 * MAX_POLICY_BYTES + 1_024;

export function tooLarge(limit: number): string {
  return `The request body is larger than ${limit} bytes`;
}

/**
 * Reads the body as a strict JSON object.
 *
 * @param limit bytes
 */
export async function readJsonBody(c: HttpContext, limit: number = LIMITS.requestBodyBytes): Promise<ReadBody> {
  const bytes = await c.readBody(limit);
  if (bytes === undefined) return { ok: false, status: 413, problem: tooLarge(limit) };
  const text = decodeUtf8(bytes);
  if (text === undefined) return { ok: false, status: 400, problem: REJECTIONS.syntax };
  const parsed = parseStrictJson(text, BODY_DEPTH);
  return parsed.ok ? parsed : { ok: false, status: 400, problem: REJECTIONS[parsed.problem] };
}

/** The wire contract prescribes the text for what is not a JSON object; our own rules are named after it. */
const REJECTIONS: Readonly<Record<JsonProblem, string>> = {
  syntax: "Invalid Json Input",
  "not-an-object": "Invalid Json Input",
  depth: `Invalid Json Input: nested deeper than ${LIMITS.jsonDepth} levels`,
  "duplicate-name": "Invalid Json Input: an object has the same name twice",
  "forbidden-name": "Invalid Json Input: the names '__proto__', 'constructor' and 'prototype' are not allowed",
  "lone-surrogate": "Invalid Json Input: a text contains a lone surrogate",
  "number-range": "Invalid Json Input: a number is too large",
};
