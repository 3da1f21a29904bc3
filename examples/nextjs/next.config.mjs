/** @type {import("next").NextConfig} */
export default {
  // Loaded as it is installed: it has nothing to bundle, and a core inside the process could not be.
  serverExternalPackages: ["countersign"],
};
