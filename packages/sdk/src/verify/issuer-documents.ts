// What issuers publish, over HTTP: key sets, and the revocations beside them.
import { boundedFetch } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent } from "../telemetry/events.ts";
import { KeySet } from "../jwks/key-set.ts";
import type { Source } from "../jwks/polled-document.ts";
import * as LIMITS from "../protocol/limits.ts";
import { parseStrictJson } from "../protocol/strict-json.ts";
import { RevocationFeed } from "../revocation/revocation-feed.ts";
import { checkKeyUrl, expect, type ResolvedIssuer } from "./verifier-options.ts";

/** What an issuer publishes, as one verifier or all of an instance's know it. */
export interface IssuerDocuments {
  readonly keySet: KeySet;
  /** Undefined: it is not read. */
  readonly feed: RevocationFeed | undefined;
}

const within =
  (maxBytes: number): Source["get"] =>
  (place, headers) =>
    boundedFetch(fetch, place, { headers }, { timeout: 5_000, maxBytes });
export const getKeySet = within(LIMITS.jwksBytes);
const getFeed = within(LIMITS.feedBytes);

/** @param known where the options name no source: what the instance knows */
export function documentsOf(
  { jwksUri, revocationsUri, allowHttp, rules: { issuer }, at }: ResolvedIssuer,
  known: IssuerDocuments | undefined,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  if (jwksUri !== undefined) return documentsAt(jwksUri, revocationsUri, clock, emit);
  // What the instance knows are the keys of its own core, and none of a listed issuer's.
  if (issuer !== undefined && (at !== "" || known === undefined)) {
    checkKeyUrl(issuer, allowHttp, `${at}issuer`);
    const discover = () => discoverKeySet(issuer, allowHttp);
    // Where the issuer says, and nowhere else: what lies beside it may be somebody else's.
    const keySet = new KeySet({ name: issuer, places: async () => [await discover()], get: getKeySet }, clock, emit);
    // Asking for the way again would make the feed later by another exchange.
    const locate = async () => {
      const uri = revocationsUri ?? beside(keySet.value?.place ?? (await discover()), "revocations");
      return uri === undefined ? [] : [uri];
    };
    return { keySet, feed: revocationsUri === null ? undefined : feedAt(issuer, locate, keySet, clock, emit) };
  }
  expect(known !== undefined, "jwksUri", "the URL of a key set, or an issuer");
  if (revocationsUri === undefined) return known;
  return withFeed(known.keySet, revocationsUri, clock, emit);
}

/** A key set, and the feed where `revocationsUri` says, or beside it. */
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
  return withFeed(keySet, revocationsUri === undefined ? beside(jwksUri, "revocations") : revocationsUri, clock, emit);
}

function withFeed(
  keySet: KeySet,
  uri: string | null | undefined,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  return { keySet, feed: uri ? feedAt(nameOf(uri), async () => [uri], keySet, clock, emit) : undefined };
}

/** What events and health call an address: without its query, which may hold a secret. */
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

/** A document next to a key set, where a core and a service's front have theirs, unless that set has a name of its own. */
function beside(jwksUri: string, name: string): string | undefined {
  const url = new URL(jwksUri);
  if (!/\/jwks(?:-all)?\.json$/.test(url.pathname)) return undefined;
  url.pathname = url.pathname.replace(/[^/]*$/, name);
  return url.href;
}

/** A `jwks.json` holds RSA keys only; where its source has the full set, that stands beside it. */
export function placesOf(jwksUri: string): readonly string[] {
  return [...new Set([beside(jwksUri, "jwks-all.json") ?? jwksUri, jwksUri])];
}

/** OpenID Connect Discovery 1.0 section 4. The document must be the issuer's own (section 4.3). */
async function discoverKeySet(issuer: string, allowHttp: boolean): Promise<string> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const { status, text } = await getKeySet(address, { accept: "application/json" });
  const document = parseStrictJson(text, LIMITS.jsonDepth);
  if (status !== 200 || !document.ok) throw new Error(`no JSON object at ${address}, status ${status}`);
  const { issuer: named, jwks_uri: jwksUri } = document.value;
  if (named !== issuer) throw new Error(`${address} speaks of another issuer`);
  checkKeyUrl(jwksUri as string, allowHttp, "jwks_uri");
  return jwksUri as string;
}
