/** @type {import("next").NextConfig} */
export default {
  // Not bundled: the embedded core cannot be bundled, and the other parts do not need to be.
  serverExternalPackages: ["countersign"],
};
