/** The public keys of platforms that say who their workloads are. */
export interface PlatformKeys {
  /**
   * Whether the issuer has signed the token, by the keys that it publishes.
   *
   * @throws PlatformUnavailable where its keys cannot be had
   */
  hasSigned(issuer: string, token: string): Promise<boolean>;
  /** Why an issuer's keys could not be fetched, such as plain http; undefined: nothing is known against it. */
  problemOf(issuer: string): string | undefined;
  close(): void;
}

/** A platform's keys cannot be had now. */
export class PlatformUnavailable extends Error {
  override readonly name = "PlatformUnavailable";
}
