// Fetch API adapter (Request and Response), shared by the frameworks that use it.
import type { FrontCall } from "../recipe/jwks-endpoints.ts";
import type { FrontRequest } from "../recipe/jwt-recipe.ts";
import { askFront, type Answer, type FrontOptions } from "./responses.ts";

const NONE: readonly string[] = Object.freeze([]);

/** Returns all Authorization fields that the platform exposes, because two are rejected. */
export function authorizationOf(headers: Headers): readonly string[] {
  const field = headers.get("authorization");
  return field === null ? NONE : authorizationFields([field]);
}

/**
 * Splits fields that a platform has joined with commas. A Bearer token contains no comma, so each `Bearer` after a comma
 * starts another field, also after a field of another scheme.
 */
export function authorizationFields(joined: readonly string[]): readonly string[] {
  return joined.some((field) => field.includes(","))
    ? joined.flatMap((field) => field.split(/,\s*(?=bearer\b)/i))
    : joined;
}

/** The framework's own objects, for overrides of the recipe's endpoints, and the request path. */
export interface Originals {
  readonly request: unknown;
  readonly response: unknown;
  readonly path: string;
}

/** Same as `askFront`, for a Request. */
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
