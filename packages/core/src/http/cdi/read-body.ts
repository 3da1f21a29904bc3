import type { JsonObject } from "countersign/protocol";
import { readJsonBody } from "../request/body.ts";
import type { HttpContext } from "../request/http-context.ts";
import { textResponse, type ReadResult } from "../request/responses.ts";

export async function readBody(c: HttpContext): Promise<ReadResult<JsonObject>> {
  const read = await readJsonBody(c);
  return read.ok ? read : { ok: false, response: textResponse(read.status, read.problem) };
}

export function invalidField(name: string): ReadResult<never> {
  return { ok: false, response: textResponse(400, `Field name '${name}' is invalid in JSON input`) };
}
