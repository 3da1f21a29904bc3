const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const LOOPBACK = new RegExp(`^(?:localhost|127(?:\\.${OCTET}){3}|::1|\\[::1\\])$`, "i");

/**
 * Reports whether a host name or IP address, with or without the brackets of an IPv6 address in a URL, means this
 * machine (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3, RFC 6761 section 6.3). Resolves no names.
 */
export function isLoopbackHost(host: string): boolean {
  return LOOPBACK.test(host);
}
