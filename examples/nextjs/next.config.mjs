/** @type {import("next").NextConfig} */
export default {
  // Not bundled: the embedded core cannot be bundled, and the rest does not need to be.
  serverExternalPackages: ["countersign"],
};
