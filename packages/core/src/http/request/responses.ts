/** A response as handlers return it. The host adds the headers that every response has. */
export interface CoreResponse {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** `null` for a status that has no body, such as 304. */
  readonly body: string | null;
}

/** A value read from a request, or the response that rejects the request. */
export type ReadResult<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly response: CoreResponse };

const TEXT: CoreResponse["headers"] = { "content-type": "text/plain; charset=utf-8" };
const JSON_TYPE: CoreResponse["headers"] = { "content-type": "application/json; charset=utf-8" };

/** Returns a plain-text response, the form of all errors of the driver interface and of public documents. */
export function textResponse(status: number, message: string): CoreResponse {
  return { status, headers: TEXT, body: message };
}

export function jsonResponse(body: object, status = 200): CoreResponse {
  return { status, headers: JSON_TYPE, body: JSON.stringify(body) };
}

export function withHeaders(response: CoreResponse, headers: CoreResponse["headers"]): CoreResponse {
  return { ...response, headers: { ...response.headers, ...headers } };
}

/** Returns the headers that a host sends: names and values in turn, the form that `writeHead` processes fastest. */
export function headersOf({ headers, body }: CoreResponse): string[] {
  const all = ["x-content-type-options", "nosniff"];
  for (const name in headers) all.push(name, headers[name]!);
  if (body !== null) all.push("content-length", String(Buffer.byteLength(body)));
  return all;
}
