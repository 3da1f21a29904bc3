// Translates between Request, Response and the parts that decide.
import type { FrontCall } from "../recipe/jwks-endpoints.ts";
import type { FrontRequest } from "../recipe/jwt-recipe.ts";
import { askFront, type Answer, type FrontOptions } from "./responses.ts";

const NONE: readonly string[] = Object.freeze([]);

/** Every Authorization field that the platform lets us see: two are refused. */
export function authorizationOf(headers: Headers): readonly string[] {
  const field = headers.get("authorization");
  return field === null ? NONE : authorizationFields([field]);
}

/**
 * The fields that were sent, where a platform may have joined them. It does so with a comma, which no Bearer token has;
 * taken apart where another one begins, two schemes are two as well.
 */
export function authorizationFields(joined: readonly string[]): readonly string[] {
  return joined.some((field) => field.includes(","))
    ? joined.flatMap((field) => field.split(/,\s*(?=bearer\b)/i))
    : joined;
}

/** The framework's own objects, for overrides of the front interface that know them, and the path where it knows that. */
export interface Originals {
  readonly request: unknown;
  readonly response: unknown;
  readonly path: string;
}

/** As `askFront`, for a Request. */
export function askFrontFor(
  options: FrontOptions,
  request: Request,
  originals?: Originals,
): Promise<Answer | undefined> | undefined {
  const url = () => new URL(request.url);
  const asked: FrontRequest = {
    original: originals?.request ?? request,
    getMethod: () => request.method,
    getOriginalURL: () => url().pathname + url().search,
    getHeaderValue: (name) => request.headers.get(name) ?? undefined,
    getKeyValueFromQuery: (name) => url().searchParams.get(name) ?? undefined,
  };
  const call: FrontCall = {
    path: originals?.path ?? url().pathname,
    originalResponse: originals?.response,
    request: asked,
  };
  return askFront(options, call);
}
