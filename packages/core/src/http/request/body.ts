import type { IncomingMessage } from "node:http";
import type { HttpContext } from "./socket-context.ts";
import { decodeUtf8, LIMITS, parseStrictJson, type JsonObject, type JsonProblem } from "countersign/protocol";
import { MAX_POLICY_BYTES } from "../../domain/policy/policy-document.ts";

export type ReadBody = { ok: true; value: JsonObject } | { ok: false; status: 400 | 413; problem: string };

/** A payload may be as deep as a token's claims, and the body is one level around it. */
const BODY_DEPTH = LIMITS.jsonDepth + 1;

/** Of a policy, which is a text inside JSON: its line ends and quotes are two bytes there. */
export const POLICY_BODY_BYTES = 2 * MAX_POLICY_BYTES + 1_024;

export function tooLarge(most: number): string {
  return `The request body is larger than ${most} bytes`;
}

/** A request's body as a strict JSON object, or what is wrong with it. @param most bytes */
export async function readJsonBody(c: HttpContext, most: number = LIMITS.requestBodyBytes): Promise<ReadBody> {
  const bytes = await readBytes(c, most);
  if (bytes === undefined) return { ok: false, status: 413, problem: tooLarge(most) };
  const text = decodeUtf8(bytes);
  if (text === undefined) return { ok: false, status: 400, problem: REFUSALS.syntax };
  const parsed = parseStrictJson(text, BODY_DEPTH);
  return parsed.ok ? parsed : { ok: false, status: 400, problem: REFUSALS[parsed.problem] };
}

/** The whole body, or undefined as soon as it is known to be too large. */
export async function readBytes(c: HttpContext, most: number): Promise<Buffer | undefined> {
  const incoming = c.env?.incoming;
  // From the socket where there is one: a web stream around it costs more than the rest of the request.
  if (incoming !== undefined) return readIncoming(incoming, most);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (c.req.raw.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** By its events, which cost half of what its iterator does. What is too large is left where it is, for the answer to go first. */
function readIncoming(incoming: IncomingMessage, most: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size <= most) return;
      incoming.off("data", take).pause();
      resolve(undefined);
    };
    incoming.on("data", take);
    incoming.on("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    incoming.on("error", reject);
    incoming.on("close", () => {
      if (!incoming.complete) reject(new Error("the request ended early"));
    });
  });
}

/** What is no JSON object gets the words of the wire contract; what only our verifier refuses is named. */
const REFUSALS: Readonly<Record<JsonProblem, string>> = {
  syntax: "Invalid Json Input",
  "not-an-object": "Invalid Json Input",
  depth: `Invalid Json Input: nested deeper than ${LIMITS.jsonDepth} levels`,
  "duplicate-name": "Invalid Json Input: an object has the same name twice",
  "forbidden-name": "Invalid Json Input: the names '__proto__', 'constructor' and 'prototype' are not allowed",
  "lone-surrogate": "Invalid Json Input: a text contains a lone surrogate",
  "number-range": "Invalid Json Input: a number is too large",
};
