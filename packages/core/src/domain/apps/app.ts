/** The app of requests that name none. */
export const DEFAULT_APP = "public";

const APP_ID = /^[a-z0-9-]{1,64}$/;

/** App IDs are case-insensitive. Lowers only ASCII letters, because some other letters have an ASCII lower case. */
export function normalizeAppId(text: string): string {
  return text.trim().replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Returns why a normalized ID is invalid for a new app, or undefined. The texts are part of the wire contract. */
export function problemOfNewAppId(id: string): string | undefined {
  if (id === "") return "appId should not be an empty String";
  if (id.startsWith("appid-")) return "appId must not start with 'appid-'";
  if (id.length > 64) return "appId must not be longer than 64 characters";
  if (!APP_ID.test(id)) return "appId can only contain letters, numbers and hyphens";
  return undefined;
}
