import type { IncomingMessage, ServerResponse } from "node:http";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Env } from "./use-cases.ts";
import { NO_SNIFF } from "./responses.ts";
import { headerOf } from "./request-header.ts";
import type { RequestPath } from "./request-path.ts";

/** A request and the way to answer it: what an endpoint uses of Hono's `Context`, so that it can do without. */
export interface HttpContext {
  readonly env: Env["Bindings"];
  readonly req: {
    readonly method: string;
    header(name: string): string | undefined;
    readonly raw: { readonly body: Request["body"] };
  };
  get(name: "path"): RequestPath;
  /** A header of the answer, said once. */
  header(name: string, value: string): void;
  body(text: string | null, status: number, headers?: Record<string, string>): Response;
}

const ALWAYS: readonly string[] = Object.entries(NO_SNIFF).flat();

/**
 * The same over a socket and nothing in between: the objects of a web framework cost more than a token. The answer is
 * written at once.
 */
export class SocketContext implements HttpContext {
  readonly env: { incoming: IncomingMessage; outgoing: ServerResponse };
  readonly #path: RequestPath;
  /** Names and values by turns, as `writeHead` has them quickest. */
  readonly #headers: string[] = [...ALWAYS];

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, path: RequestPath) {
    this.env = { incoming, outgoing };
    this.#path = path;
  }

  get req(): HttpContext["req"] {
    const { method = "" } = this.env.incoming;
    return { method, header: (name) => headerOf(this, name), raw: { body: null } };
  }

  get(_name: "path"): RequestPath {
    return this.#path;
  }

  header(name: string, value: string): void {
    this.#headers.push(name, value);
  }

  body(text: string | null, status: number, headers: Record<string, string> = {}): Response {
    for (const [name, value] of Object.entries(headers)) this.header(name, value);
    const length = text === null ? 0 : Buffer.byteLength(text);
    this.header("content-length", String(length));
    // For text that may be anything, memory is had for three times its length.
    this.env.outgoing.writeHead(status, this.#headers).end(text, length === text?.length ? "latin1" : "utf8");
    return RESPONSE_ALREADY_SENT;
  }
}
