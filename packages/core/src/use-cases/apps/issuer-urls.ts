import { DEFAULT_APP } from "../../domain/apps/app.ts";

/** What apps call themselves in the tokens and documents of OAuth: the core's public URL, and their own path below it. */
export class IssuerUrls {
  #base: string | undefined;
  readonly #path: string;

  /** @param publicUrl without a slash at its end; undefined: where the core listens, once it does */
  constructor(publicUrl: string | undefined) {
    this.#base = publicUrl;
    this.#path = publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");
  }

  /** Where the core is reached, unless that was said before. */
  listensAt(url: string): void {
    this.#base ??= url;
  }

  /** Undefined: nobody has said where this core is reached, and a request's own Host header is a stranger's word. */
  of(appId: string): string | undefined {
    if (this.#base === undefined || appId === DEFAULT_APP) return this.#base;
    return `${this.#base}/appid-${appId}`;
  }

  /** The path that issuerUrls begin with; empty: none, as where the core listens. */
  get path(): string {
    return this.#path;
  }
}
