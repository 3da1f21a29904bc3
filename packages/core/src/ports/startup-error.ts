/** A core cannot start, and a person has to do something: the message says what is wrong and what to do, in one line. */
export class StartupError extends Error {
  override readonly name = "StartupError";
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOENT: "no such file or directory",
  ENOTDIR: "a file is in the way",
  EEXIST: "a file is in the way",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "the host name cannot be resolved",
  EAI_AGAIN: "the host name cannot be resolved",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the host cannot be reached",
};

/** One line for an error of the operating system, without its stack, and without its constant where that is common. */
export function reasonOf(error: unknown): string {
  // Where a name has several addresses, the error is a list of errors and has no message.
  const { code = "", message } = error as Error & { code?: string };
  return (REASONS[code] ?? message.replace(/\s+/g, " ").trim()) || code || "unknown error";
}
