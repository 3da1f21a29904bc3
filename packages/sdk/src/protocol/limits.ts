/*
 * The limits of all untrusted input, in one table. The core does not issue a token beyond them, so no verifier rejects one
 * of its tokens for its size. Imported as a whole, as LIMITS, so that a bundle contains only the numbers it uses.
 */

/** Characters (ASCII, so bytes) of a compact token. */
export const tokenLength = 8192;
/** Bytes of a decoded token header. */
export const headerBytes = 1024;
/** Levels of nesting in the header or payload of a token; `{}` has one. */
export const jsonDepth = 16;
/** Bytes of a key set document. */
export const jwksBytes = 262_144;
/** Bytes of a revocation feed. */
export const feedBytes = 1_048_576;
/** Members of a key set. */
export const jwksKeys = 64;
/** Bytes of a request body at the core. */
export const requestBodyBytes = 65_536;
/** Characters of a `kid`, printable ASCII. */
export const kidLength = 256;
/** Seconds: the largest NumericDate, 9999-12-31T23:59:59Z. */
export const numericDate = 253_402_300_799;
/** Seconds: the longest validity that a client can request, 100 years of 365 days. */
export const validity = 3_153_600_000;
/** Seconds: the largest clock tolerance a verifier accepts. */
export const clockTolerance = 300;
