import type { Exchange } from "./exchange.ts";

/**
 * A header of the request, joined where it came more than once (RFC 9110 section 5.3). From the socket where there is
 * one: a `Headers` object of all of them costs more than everything else that is read of a request.
 *
 * @param name in lower case
 */
export function headerOf(c: Pick<Exchange, "env" | "req">, name: string): string | undefined {
  const incoming = c.env?.incoming;
  return incoming === undefined ? c.req.header(name) : incoming.headersDistinct[name]?.join(", ");
}
