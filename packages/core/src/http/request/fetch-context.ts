import type { HttpContext } from "./http-context.ts";
import type { RequestPath } from "./request-path.ts";
import { headersOf, type CoreResponse } from "./responses.ts";

/** A request from this process, without a socket: an embedded core, or a CLI command. */
export class FetchContext implements HttpContext {
  readonly path: RequestPath;
  readonly remoteAddress = undefined;
  readonly isAborted = false;
  principal: HttpContext["principal"];
  cdiVersion = "";
  readonly #request: Request;

  constructor(request: Request, path: RequestPath) {
    this.#request = request;
    this.path = path;
  }

  get method(): string {
    return this.#request.method;
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined;
  }

  /** `Headers` has joined the values, and no proxy has read others. */
  isRepeated(): boolean {
    return false;
  }

  async readBody(limit: number): Promise<Buffer | undefined> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of (this.#request.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > limit) return undefined;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

export function toResponse(method: string, response: CoreResponse): Response {
  // A Response with an empty string would get a content-type.
  const body = method === "HEAD" || response.body === "" ? null : response.body;
  const headers = new Headers();
  const all = headersOf(response);
  for (let i = 0; i < all.length; i += 2) headers.set(all[i]!, all[i + 1]!);
  return new Response(body, { status: response.status, headers });
}
