/** A core cannot start, and a person has to do something: the message says what is wrong and what to do, in one line. */
export class StartupError extends Error {
  override readonly name = "StartupError";
}

/** Words for an error of the operating system, without its stack and its constant names where they are common. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "ENOENT":
      return "no such file or directory";
    case "ENOTDIR":
    case "EEXIST":
      return "a file is in the way";
    case "ENOSPC":
      return "the disk is full";
    case "EROFS":
      return "the file system is read-only";
    default:
      return message;
  }
}
