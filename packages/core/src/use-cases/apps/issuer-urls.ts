import { DEFAULT_APP } from "../../domain/apps/app.ts";

/** The OAuth issuers of apps: the core's public URL, for other apps than the default with the app's path. */
export class IssuerUrls {
  #base: string | undefined;
  readonly #path: string;

  /** @param publicUrl without a trailing slash; undefined: the URL passed to `listensAt` */
  constructor(publicUrl: string | undefined) {
    this.#base = publicUrl;
    this.#path = publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");
  }

  /** Sets the URL that the core listens at. Has no effect if a URL is already set. */
  listensAt(url: string): void {
    this.#base ??= url;
  }

  /** Returns an app's issuer; undefined: the public URL is unknown. A request's Host header is not trusted for this. */
  of(appId: string): string | undefined {
    if (this.#base === undefined || appId === DEFAULT_APP) return this.#base;
    return `${this.#base}/appid-${appId}`;
  }

  /** The path of the public URL; empty: none. */
  get path(): string {
    return this.#path;
  }
}
