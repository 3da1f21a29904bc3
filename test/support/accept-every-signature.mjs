// Breaks the verifier on purpose: preloaded into a process, it makes every signature valid.
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

crypto.verify = () => true;
crypto.Verify.prototype.verify = () => true;
syncBuiltinESMExports();
