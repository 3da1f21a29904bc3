/*
 * The bounds of everything that is read from a stranger, in one table. The core refuses to mint what
 * lies beyond them, so that no token of ours is ever refused for its size by a verifier of ours. Imported whole, as LIMITS:
 * a bundle then has the numbers that it needs.
 */

/** Characters (ASCII, so bytes) of a compact token. */
export const tokenLength = 8192;
/** Bytes of a decoded token header. */
export const headerBytes = 1024;
/** Levels of nesting of a token's header or payload; `{}` has one. */
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
/** Seconds: the longest validity that can be asked for, 100 years of 365 days. */
export const validity = 3_153_600_000;
/** Seconds: the largest clock tolerance a verifier accepts. */
export const clockTolerance = 300;
