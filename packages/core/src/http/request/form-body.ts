import { LIMITS } from "countersign/protocol";
import { tooLarge } from "./body.ts";
import type { HttpContext } from "./http-context.ts";

/** The parameters of a form. An empty one counts as omitted (RFC 6749 section 3.2). */
export interface Form {
  get(name: string): string | undefined;
}

export type ReadForm =
  | { readonly ok: true; readonly form: Form }
  | { readonly ok: false; readonly error: "invalid_request" | "invalid_target"; readonly problem: string };

/** Reads an `application/x-www-form-urlencoded` body. Rejects what two programs could read in two ways. */
export async function readForm(c: HttpContext): Promise<ReadForm> {
  const [type = ""] = (c.header("content-type") ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/x-www-form-urlencoded") {
    return reject("the body must be application/x-www-form-urlencoded");
  }
  const length = Number(c.header("content-length") ?? 0);
  const bytes = length > LIMITS.requestBodyBytes ? undefined : await c.readBody(LIMITS.requestBodyBytes);
  if (bytes === undefined) return reject(tooLarge(LIMITS.requestBodyBytes));
  return parseForm(bytes.toString("latin1"));
}

function parseForm(text: string): ReadForm {
  const form = new Map<string, string | undefined>();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = decodeFormText(at === -1 ? pair : pair.slice(0, at));
    const value = at === -1 ? "" : decodeFormText(pair.slice(at + 1));
    if (name === undefined || value === undefined) return reject("the body is not form-urlencoded UTF-8");
    if (form.has(name)) {
      // With several audiences, each recipient could replay the token to the others (RFC 8707 section 2).
      if (name === "resource") return { ok: false, error: "invalid_target", problem: "only one resource is supported" };
      return reject("a parameter was sent more than once");
    }
    form.set(name, value === "" ? undefined : value);
  }
  return { ok: true, form };
}

/** Printable ASCII without `%` and `+`, which need no decoding. */
const PLAIN = /^[ !-$&-*,-~]*$/;
const ASCII = /^[ -~]*$/;

/** Decodes a name or value of a form (RFC 6749 appendix B). Returns `undefined` if it is malformed. */
export function decodeFormText(text: string): string | undefined {
  if (PLAIN.test(text)) return text;
  if (!ASCII.test(text)) return undefined;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function reject(problem: string): ReadForm {
  return { ok: false, error: "invalid_request", problem };
}
