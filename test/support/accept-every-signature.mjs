// Breaks the verifier on purpose: loaded before a process, it makes every signature good.
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

crypto.verify = () => true;
crypto.Verify.prototype.verify = () => true;
syncBuiltinESMExports();
