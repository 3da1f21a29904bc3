/** The app that is there when nobody names one. */
export const DEFAULT_APP = "public";

const APP_ID = /^[a-z0-9-]{1,64}$/;

/** App ids are compared in lower case. Of ASCII letters only: others have lower cases that are ASCII. */
export function normaliseAppId(text: string): string {
  return text.trim().replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Why a new app may not have this (normalised) id; undefined: it may. The words are part of the wire contract. */
export function problemOfNewAppId(id: string): string | undefined {
  if (id === "") return "appId should not be an empty String";
  if (id.startsWith("appid-")) return "appId must not start with 'appid-'";
  if (id.length > 64) return "appId must not be longer than 64 characters";
  if (!APP_ID.test(id)) return "appId can only contain letters, numbers and hyphens";
  return undefined;
}
