/** Reports whether the driver can parse the URL. */
export function isPostgresUrl(text: string): boolean {
  try {
    const { protocol, hostname, username, password, pathname } = new URL(text);
    for (const part of [username, password, pathname]) decodeURIComponent(part);
    return ["postgres:", "postgresql:"].includes(protocol) && hostname !== "";
  } catch {
    return false;
  }
}

/** Returns host, port and database of a URL, without user and password. */
export function placeOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
