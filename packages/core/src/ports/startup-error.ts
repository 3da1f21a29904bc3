/** A core cannot start. The message states the reason and what to do, in one line. */
export class StartupError extends Error {
  override readonly name = "StartupError";
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOENT: "no such file or directory",
  ENOTDIR: "a file with this name already exists",
  EEXIST: "a file with this name already exists",
  ENOSPC: "disk full",
  EROFS: "the file system is read-only",
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "host name not found",
  EAI_AGAIN: "host name not found",
  ECONNRESET: "connection closed",
  EPIPE: "connection closed",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "host unreachable",
};

/** Describes a system error in one line, without its stack, and common ones without their code. */
export function reasonOf(error: unknown): string {
  // If a name has several addresses, the error is an AggregateError without a message.
  const { code = "", message } = error as Error & { code?: string };
  return (REASONS[code] ?? message.replace(/\s+/g, " ").trim()) || code || "unknown error";
}
