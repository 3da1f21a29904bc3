import { LIMITS } from "countersign/protocol";
import { readBytes, tooLarge } from "./body.ts";
import type { HttpContext } from "./socket-context.ts";
import { headerOf } from "./request-header.ts";

/** The parameters of a form, each once; one that is empty counts as left out (RFC 6749 section 3.2). */
export interface Form {
  get(name: string): string | undefined;
}

export type ReadForm =
  | { readonly ok: true; readonly form: Form }
  | { readonly ok: false; readonly error: "invalid_request" | "invalid_target"; readonly problem: string };

/** Reads a body of `application/x-www-form-urlencoded`, strictly: what two programs could read in two ways is refused. */
export async function readForm(c: HttpContext): Promise<ReadForm> {
  const [type = ""] = (headerOf(c, "content-type") ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/x-www-form-urlencoded") {
    return refuse("the body must be application/x-www-form-urlencoded");
  }
  const length = Number(headerOf(c, "content-length") ?? 0);
  const bytes = length > LIMITS.requestBodyBytes ? undefined : await readBytes(c, LIMITS.requestBodyBytes);
  if (bytes === undefined) return refuse(tooLarge(LIMITS.requestBodyBytes));
  return parseForm(bytes.toString("latin1"));
}

function parseForm(text: string): ReadForm {
  const form = new Map<string, string | undefined>();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = decodeFormText(at === -1 ? pair : pair.slice(0, at));
    const value = at === -1 ? "" : decodeFormText(pair.slice(at + 1));
    if (name === undefined || value === undefined) return refuse("the body is not form-urlencoded UTF-8");
    if (form.has(name)) {
      // A token for several callees would open the door of each to all others (RFC 8707 section 2).
      if (name === "resource") return { ok: false, error: "invalid_target", problem: "a token is for one resource" };
      return refuse("a parameter was sent more than once");
    }
    form.set(name, value === "" ? undefined : value);
  }
  return { ok: true, form };
}

/** What stands for itself: letters, digits and other ASCII that is seen, without `%` and `+`. */
const PLAIN = /^[ !-$&-*,-~]*$/;
const ASCII = /^[ -~]*$/;

/** One encoded name or value (RFC 6749 appendix B); undefined: it is none. */
export function decodeFormText(text: string): string | undefined {
  if (PLAIN.test(text)) return text;
  if (!ASCII.test(text)) return undefined;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function refuse(problem: string): ReadForm {
  return { ok: false, error: "invalid_request", problem };
}
