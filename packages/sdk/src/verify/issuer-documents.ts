// The documents that issuers publish over HTTP: key sets and revocation feeds.
import { checkOption } from "../config/option-checks.ts";
import { boundedFetch } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent } from "../telemetry/events.ts";
import { KeySet } from "../jwks/key-set.ts";
import type { Source } from "../jwks/polled-document.ts";
import * as LIMITS from "../protocol/limits.ts";
import { parseStrictJson } from "../protocol/strict-json.ts";
import { RevocationFeed } from "../revocation/revocation-feed.ts";
import { checkKeyUrl, type ResolvedIssuer } from "./verifier-options.ts";

/** The documents of one issuer, shared by all verifiers of an instance or owned by one verifier. */
export interface IssuerDocuments {
  readonly keySet: KeySet;
  /** Undefined: revocation is off. */
  readonly feed: RevocationFeed | undefined;
}

const within =
  (maxBytes: number): Source["get"] =>
  (place, headers) =>
    boundedFetch(fetch, place, { headers }, { timeout: 5_000, maxBytes });
export const getKeySet = within(LIMITS.jwksBytes);
const getFeed = within(LIMITS.feedBytes);

/** Returns the documents that the options name. @param known the documents of the instance, used if they name no source */
export function documentsOf(
  { jwksUri, revocationsUri, allowHttp, rules: { issuer }, at }: ResolvedIssuer,
  known: IssuerDocuments | undefined,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  if (jwksUri !== undefined) return documentsAt(jwksUri, revocationsUri, clock, emit);
  // The instance knows the keys of its own core, not those of an issuer in a list.
  if (issuer !== undefined && (at !== "" || known === undefined)) {
    checkKeyUrl(issuer, allowHttp, `${at}issuer`);
    return discoveredDocuments(issuer, revocationsUri, allowHttp, clock, emit);
  }
  checkOption(known !== undefined, "jwksUri", "the URL of a key set, or an issuer");
  if (revocationsUri === undefined) return known;
  return withFeed(known.keySet, revocationsUri, clock, emit);
}

/** Returns a key set with its feed at `revocationsUri`, or by default next to the key set. */
export function documentsAt(
  jwksUri: string,
  revocationsUri: string | null | undefined,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  const keySet = new KeySet(
    { name: nameOf(jwksUri), places: async () => placesOf(jwksUri), get: getKeySet },
    clock,
    emit,
  );
  return withFeed(
    keySet,
    revocationsUri === undefined ? siblingOf(jwksUri, "revocations") : revocationsUri,
    clock,
    emit,
  );
}

/** Finds the key set through the issuer's discovery document, and the feed at `revocationsUri` or next to the key set. */
function discoveredDocuments(
  issuer: string,
  revocationsUri: string | null | undefined,
  allowHttp: boolean,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  const discover = () => discoverKeySet(issuer, allowHttp);
  // Only the URL that the issuer names: a document next to it can belong to someone else.
  const keySet = new KeySet({ name: issuer, places: async () => [await discover()], get: getKeySet }, clock, emit);
  const locateFeed = async () => {
    // The loaded key set knows its URL, which saves a second discovery.
    const uri = revocationsUri ?? siblingOf(keySet.value?.place ?? (await discover()), "revocations");
    return uri === undefined ? [] : [uri];
  };
  return { keySet, feed: revocationsUri === null ? undefined : feedAt(issuer, locateFeed, keySet, clock, emit) };
}

function withFeed(
  keySet: KeySet,
  uri: string | null | undefined,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  return { keySet, feed: uri ? feedAt(nameOf(uri), async () => [uri], keySet, clock, emit) : undefined };
}

/** Returns the URL as events and health show it: without its query, which can contain a secret. */
const nameOf = (address: string) => address.replace(/[?#].*/s, "");

function feedAt(
  name: string,
  places: Source["places"],
  keySet: KeySet,
  clock: Clock,
  emit: OnVerifierEvent,
): RevocationFeed {
  return new RevocationFeed({ name, places, get: getFeed }, keySet, clock, emit);
}

/**
 * Returns the URL of a document next to a key set, where a core and a service's `middleware()` serve it. Undefined if the
 * key set has another name than theirs.
 */
function siblingOf(jwksUri: string, name: string): string | undefined {
  const url = new URL(jwksUri);
  if (!/\/jwks(?:-all)?\.json$/.test(url.pathname)) return undefined;
  url.pathname = url.pathname.replace(/[^/]*$/, name);
  return url.href;
}

/** Returns the URLs of a key set, best first: `jwks.json` contains only RSA keys, and `jwks-all.json` all of them. */
export function placesOf(jwksUri: string): readonly string[] {
  return [...new Set([siblingOf(jwksUri, "jwks-all.json") ?? jwksUri, jwksUri])];
}

/** Returns the key set URL from the discovery document, which must name the issuer (OIDC Discovery 1.0 section 4.3). */
async function discoverKeySet(issuer: string, allowHttp: boolean): Promise<string> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const { status, text } = await getKeySet(address, { accept: "application/json" });
  const document = parseStrictJson(text, LIMITS.jsonDepth);
  if (status !== 200 || !document.ok) throw new Error(`${address}: expected a JSON object, got status ${status}`);
  const { issuer: named, jwks_uri: jwksUri } = document.value;
  if (named !== issuer) {
    throw new Error(`${address}: issuer mismatch, expected "${issuer}", got ${JSON.stringify(named)?.slice(0, 256)}`);
  }
  checkKeyUrl(jwksUri as string, allowHttp, "jwks_uri");
  return jwksUri as string;
}
