/** Whether the driver will be able to read it. */
export function isPostgresUrl(text: string): boolean {
  try {
    const { protocol, hostname, username, password, pathname } = new URL(text);
    for (const part of [username, password, pathname]) decodeURIComponent(part);
    return ["postgres:", "postgresql:"].includes(protocol) && hostname !== "";
  } catch {
    return false;
  }
}

/** Where a URL leads, without who goes there and with what password. */
export function placeOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
