import type { Principal } from "../../use-cases/authentication/authenticate.ts";
import type { RequestPath } from "./request-path.ts";

/** A request as handlers see it, whichever host received it. */
export interface HttpContext {
  readonly method: string;
  readonly path: RequestPath;
  /** The client's IP address; `undefined` if the client is in this process. */
  readonly remoteAddress: string | undefined;
  /** Reports whether the client disconnected before it sent the whole request. Such a request is not an error of the core. */
  readonly isAborted: boolean;
  /** The authenticated caller. The dispatcher sets it before routing; the OAuth endpoints authenticate by themselves. */
  principal: Principal | undefined;
  /** The version in the `cdi-version` header, by default the newest. Set before a handler of the driver interface runs. */
  cdiVersion: string;

  /**
   * Returns the value of a header; the values joined with ", " if it occurs more than once (RFC 9110 section 5.3).
   *
   * @param name in lower case
   */
  header(name: string): string | undefined;

  /**
   * Reports whether a header occurs more than once. Two programs could read two different values from it.
   *
   * @param name in lower case
   */
  isRepeated(name: string): boolean;

  /**
   * Reads the body. Returns `undefined` as soon as it exceeds the limit.
   *
   * @param limit bytes
   * @throws Error if the client disconnects before the end
   */
  readBody(limit: number): Promise<Buffer | undefined>;
}
