import { CountersignError } from "../protocol/errors.ts";

/** The names and addresses of a service, as `init` takes them. */
export interface AppInfo {
  appName: string;
  /** The URL of this service; becomes the `iss` of the tokens it requests. A missing scheme is added. */
  apiDomain: string;
  websiteDomain?: string | undefined;
  /** Another name for `websiteDomain`. */
  origin?: string | undefined;
  /** Path of the front interface. Default `/auth`. */
  apiBasePath?: string | undefined;
  /** The path that a gateway adds; goes before `apiBasePath`. Default: none. */
  apiGatewayPath?: string | undefined;
  websiteBasePath?: string | undefined;
}

export interface NormalisedAppInfo {
  readonly appName: string;
  readonly apiDomain: string;
  readonly websiteDomain: string | undefined;
  /** `apiGatewayPath` and `apiBasePath`; empty for the root. */
  readonly apiBasePath: string;
}

export function normalizeAppInfo(appInfo: AppInfo): NormalisedAppInfo {
  if (typeof appInfo !== "object" || appInfo === null) throw invalid("appInfo: expected an object");
  if (typeof appInfo.appName !== "string") throw invalid("appInfo.appName: expected a string");
  if (typeof appInfo.apiDomain !== "string") throw invalid("appInfo.apiDomain: expected a string");
  const website = appInfo.websiteDomain ?? appInfo.origin;
  return Object.freeze({
    appName: appInfo.appName,
    apiDomain: normalizeDomain(appInfo.apiDomain),
    websiteDomain: website === undefined ? undefined : normalizeDomain(website),
    apiBasePath: normalizePath(appInfo.apiGatewayPath ?? "") + normalizePath(appInfo.apiBasePath ?? "/auth"),
  });
}

/**
 * Returns `scheme://host[:port]` of a domain with or without a scheme: names that start with `localhost` and IPv4 addresses
 * get `http://`, all others `https://`. Drops the path.
 *
 * @throws CountersignError `invalid_option`
 */
export function normalizeDomain(input: string): string {
  const url = parseDomain(input);
  return `${url.protocol}//${url.host}`;
}

/** Normalizes a host of a core: like a domain, but the path stays as base path. @throws CountersignError `invalid_option` */
export function normalizeHost(input: string): string {
  const url = parseDomain(input);
  return `${url.protocol}//${url.host}${normalizePath(url.pathname)}`;
}

/** Adds a leading slash and removes trailing ones; the root becomes an empty string. */
export function normalizePath(input: string): string {
  const path = input.trim().replace(/^\/+|\/+$/g, "");
  return path === "" ? "" : `/${path}`;
}

const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

function parseDomain(input: string): URL {
  const text = typeof input === "string" ? input.trim() : "";
  const withScheme = /^https?:\/\//i.test(text);
  const bare = text.replace(/^\./, "");
  if (!withScheme && !/^(?:localhost|\[|[^/:?#]*\.)/i.test(bare)) throw notADomain();
  const local = /^localhost/i.test(bare) || IPV4.test(bare.split(/[:/?#]/, 1)[0]!);
  try {
    return new URL(withScheme ? text : `${local ? "http" : "https"}://${bare}`);
  } catch {
    throw notADomain();
  }
}

function notADomain(): CountersignError {
  return invalid("Please provide a valid domain name");
}

function invalid(message: string): CountersignError {
  return new CountersignError("invalid_option", message);
}
