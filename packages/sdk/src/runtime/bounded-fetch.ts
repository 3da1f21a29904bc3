import { decodeUtf8 } from "../protocol/base64url.ts";

/** What came back: a whole body, within the bounds. */
export interface BoundedResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export type Fetch = (request: Request) => Promise<Response>;

export interface FetchBounds {
  /** Milliseconds for the whole exchange, body included. */
  readonly timeout: number;
  /** Bytes of the body; one more fails the call. */
  readonly maxBytes: number;
}

/**
 * One HTTP exchange that cannot hang, grow or wander: a time limit over all of it, a size limit
 * on the body, and redirects are answers like others, never followed: following would let a host choose whom we trust.
 *
 * @throws whatever kept the exchange from completing
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
  // Breaking out of the loop by throwing cancels the stream.
  for await (const chunk of (response.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const text = decodeUtf8(Buffer.concat(chunks));
  if (text === undefined) throw new Error("the answer is not UTF-8");
  return text;
}

/** The seconds of `max-age` in a Cache-Control value (RFC 9111 section 5.2.2.1); undefined where it has none. */
export function maxAgeOf(headers: Headers): number | undefined {
  return secondsOf(/(?:^|,)\s*max-age=(\d{1,9})\s*(?:,|$)/i, headers);
}

/** For how many seconds after its `max-age` an answer may stand in for a failure (RFC 5861 section 4); undefined where it has none. */
export function staleIfErrorOf(headers: Headers): number | undefined {
  return secondsOf(/(?:^|,)\s*stale-if-error=(\d{1,9})\s*(?:,|$)/i, headers);
}

/** The seconds of `Retry-After` (RFC 9110 section 10.2.3), whose date is measured by the sender's own clock; undefined where it has none. */
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
