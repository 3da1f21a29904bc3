/** The public keys of platforms that issue tokens to their workloads. */
export interface PlatformKeys {
  /**
   * Reports whether the issuer has signed the token, by its published keys.
   *
   * @throws PlatformUnavailable if its keys cannot be fetched
   */
  hasSigned(issuer: string, token: string): Promise<boolean>;
  /** Returns why an issuer's keys can never be fetched, such as plain HTTP, or undefined. */
  problemOf(issuer: string): string | undefined;
  close(): void;
}

/** A platform's keys are unavailable. */
export class PlatformUnavailable extends Error {
  override readonly name = "PlatformUnavailable";
}
