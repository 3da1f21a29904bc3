import type { IncomingMessage } from "node:http";
import type { HttpContext } from "./socket-context.ts";

/**
 * A header of the request, joined where it came more than once (RFC 9110 section 5.3). From the socket where there is
 * one: a `Headers` object of all of them costs more than everything else that is read of a request.
 *
 * @param name in lower case
 */
export function headerOf(c: Pick<HttpContext, "env" | "req">, name: string): string | undefined {
  const incoming = c.env?.incoming;
  if (incoming === undefined) return c.req.header(name);
  const fields = fieldsOf(incoming, name);
  return fields.length === 0 ? undefined : fields.join(", ");
}

/** Every field of that name, as it came. Node's own lists of them are made of all headers, at each request. */
export function fieldsOf({ rawHeaders }: Pick<IncomingMessage, "rawHeaders">, name: string): readonly string[] {
  return rawHeaders.filter((_value, i) => i % 2 === 1 && isNamed(rawHeaders[i - 1]!, name));
}

function isNamed(field: string, name: string): boolean {
  return field.length === name.length && field.toLowerCase() === name;
}
