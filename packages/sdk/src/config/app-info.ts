import { CountersignError } from "../protocol/errors.ts";

/** What a service says of itself, as `init` takes it. */
export interface AppInfo {
  appName: string;
  /** Where this service is reached; becomes the `iss` of tokens it asks for. A missing scheme is added. */
  apiDomain: string;
  websiteDomain?: string | undefined;
  /** The other name of `websiteDomain`. */
  origin?: string | undefined;
  /** Path of the front interface. Default `/auth`. */
  apiBasePath?: string | undefined;
  /** Path that a gateway in front adds; goes before `apiBasePath`. */
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

export function normaliseAppInfo(appInfo: AppInfo): NormalisedAppInfo {
  if (typeof appInfo !== "object" || appInfo === null) throw invalid("appInfo: an object was expected");
  if (typeof appInfo.appName !== "string") throw invalid("appInfo.appName: a string was expected");
  if (typeof appInfo.apiDomain !== "string") throw invalid("appInfo.apiDomain: a string was expected");
  const website = appInfo.websiteDomain ?? appInfo.origin;
  return Object.freeze({
    appName: appInfo.appName,
    apiDomain: normaliseDomain(appInfo.apiDomain),
    websiteDomain: website === undefined ? undefined : normaliseDomain(website),
    apiBasePath: normalisePath(appInfo.apiGatewayPath ?? "") + normalisePath(appInfo.apiBasePath ?? "/auth"),
  });
}

/**
 * `scheme://host[:port]` of a domain that may lack its scheme: names that start with `localhost` and IPv4
 * addresses get `http://`, everything else `https://`. A path is dropped.
 *
 * @throws CountersignError `invalid_option`
 */
export function normaliseDomain(input: string): string {
  const url = parseDomain(input);
  return `${url.protocol}//${url.host}`;
}

/** A host of a core: like a domain, but its path is kept as base path. */
export function normaliseHost(input: string): string {
  const url = parseDomain(input);
  return `${url.protocol}//${url.host}${normalisePath(url.pathname)}`;
}

/** A leading slash and no trailing one; the root is empty. */
export function normalisePath(input: string): string {
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
