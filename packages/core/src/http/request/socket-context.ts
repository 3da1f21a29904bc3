import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpContext } from "./http-context.ts";
import type { RequestPath } from "./request-path.ts";
import { headersOf, type CoreResponse } from "./responses.ts";

/**
 * A request from a socket. It reads what `node:http` has parsed: a `Request`, its `Headers` and its body stream would
 * cost more than everything else the core does for a key set.
 */
export class SocketContext implements HttpContext {
  readonly path: RequestPath;
  principal: HttpContext["principal"];
  cdiVersion = "";
  readonly #incoming: IncomingMessage;

  constructor(incoming: IncomingMessage, path: RequestPath) {
    this.#incoming = incoming;
    this.path = path;
  }

  get method(): string {
    return this.#incoming.method ?? "";
  }

  get remoteAddress(): string | undefined {
    return this.#incoming.socket.remoteAddress;
  }

  get isAborted(): boolean {
    return this.#incoming.destroyed && !this.#incoming.complete;
  }

  header(name: string): string | undefined {
    // `incoming.headers` keeps the first of two values of some names.
    const { rawHeaders } = this.#incoming;
    let value: string | undefined;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      if (!isNamed(rawHeaders[i]!, name)) continue;
      value = value === undefined ? rawHeaders[i + 1]! : `${value}, ${rawHeaders[i + 1]!}`;
    }
    return value;
  }

  isRepeated(name: string): boolean {
    const { rawHeaders } = this.#incoming;
    let count = 0;
    for (let i = 0; i < rawHeaders.length; i += 2) if (isNamed(rawHeaders[i]!, name)) count++;
    return count > 1;
  }

  /** Listens to events, which cost half as much as an async iterator. */
  readBody(limit: number): Promise<Buffer | undefined> {
    const incoming = this.#incoming;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const onData = (chunk: Buffer) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size <= limit) return;
        incoming.off("data", onData).pause(); // sendResponse() discards the rest
        resolve(undefined);
      };
      incoming.on("data", onData);
      incoming.on("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
      incoming.on("error", reject);
      incoming.on("close", () => {
        if (!incoming.complete) reject(new Error("the client disconnected before the end of the request"));
      });
    });
  }
}

function isNamed(field: string, name: string): boolean {
  return field.length === name.length && field.toLowerCase() === name;
}

/** Writes a response, and discards what the core has not read of the request. */
export function sendResponse(incoming: IncomingMessage, outgoing: ServerResponse, response: CoreResponse): void {
  const headers = headersOf(response);
  const { status, body } = response;
  // For UTF-8, Node allocates three bytes per character.
  const encoding = headers.at(-1) === String(body?.length) ? "latin1" : "utf8";
  outgoing.writeHead(status, headers).end(body, encoding);
  if (!incoming.complete || incoming.isPaused()) discardBody(incoming);
}

/** Milliseconds and bytes. */
const DISCARD_LIMIT = { time: 500, size: 64 * 1024 * 1024 };

/**
 * Reads the rest of a body, so that a client that is still sending can read the response: closing the connection at
 * once could reset it first (RFC 9112 section 9.6). Closes the connection if the rest is slow or large.
 */
function discardBody(incoming: IncomingMessage): void {
  let size = 0;
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    if (size > DISCARD_LIMIT.size) stop();
  };
  // Closing waits for responses that the client has not read, so stop reading too.
  const stop = () => {
    clearTimeout(timer);
    incoming.off("data", onData).pause();
    incoming.socket.destroySoon();
  };
  const timer = setTimeout(stop, DISCARD_LIMIT.time).unref();
  incoming.on("data", onData);
  incoming.once("close", () => clearTimeout(timer));
  incoming.once("end", () => clearTimeout(timer));
  incoming.resume();
}
