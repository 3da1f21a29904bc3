const SERVICE_NAME = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Why no service can have this name; undefined: one can. It becomes `sub` and `aud` of tokens. */
export function problemOfServiceName(name: string): string | undefined {
  if (SERVICE_NAME.test(name)) return undefined;
  return "a service has a name of 1 to 63 characters a-z, 0-9 and '-', with a letter first and no '-' last";
}
