import { decodeUtf8 } from "../protocol/base64url.ts";

/** A response with its complete body, within the bounds. */
export interface BoundedResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export type Fetch = (request: Request) => Promise<Response>;

export interface FetchBounds {
  /** Timeout of the whole exchange, body included, in milliseconds. */
  readonly timeout: number;
  /** The largest accepted body, in bytes. */
  readonly maxBytes: number;
}

/**
 * Performs one HTTP exchange with a timeout over all of it and a size limit on the body. Returns redirects as responses and
 * never follows them: otherwise a host could choose whom we trust.
 *
 * @throws the error that kept the exchange from completing
 */
export async function boundedFetch(
  send: Fetch,
  url: string,
  init: RequestInit,
  bounds: FetchBounds,
): Promise<BoundedResponse> {
  const signal = AbortSignal.timeout(bounds.timeout);
  const response = await send(new Request(url, { ...init, redirect: "manual", signal }));
  return { status: response.status, headers: response.headers, text: await readText(response, bounds.maxBytes) };
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Throwing inside of the loop cancels the stream.
  for await (const chunk of (response.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the response is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const text = decodeUtf8(Buffer.concat(chunks));
  if (text === undefined) throw new Error("the response is not UTF-8");
  return text;
}

/** Returns the seconds of `max-age` (RFC 9111 section 5.2.2.1); undefined if there is none. */
export function maxAgeOf(headers: Headers): number | undefined {
  return secondsOf(/(?:^|,)\s*max-age=(\d{1,9})\s*(?:,|$)/i, headers);
}

/** Returns the seconds of `stale-if-error` (RFC 5861 section 4); undefined if there is none. */
export function staleIfErrorOf(headers: Headers): number | undefined {
  return secondsOf(/(?:^|,)\s*stale-if-error=(\d{1,9})\s*(?:,|$)/i, headers);
}

/** Returns the seconds of `Retry-After` (RFC 9110 section 10.2.3), a date measured with the sender's clock; undefined if there is none. */
export function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get("retry-after") ?? "";
  if (/^\d{1,9}$/.test(value)) return Number(value);
  const seconds = (Date.parse(value) - Date.parse(headers.get("date") ?? "")) / 1000;
  return seconds >= 0 ? seconds : undefined;
}

function secondsOf(directive: RegExp, headers: Headers): number | undefined {
  const seconds = directive.exec(headers.get("cache-control") ?? "")?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}
