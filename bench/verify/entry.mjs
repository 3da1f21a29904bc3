// What a service writes that only verifies: bundled to see what that weighs.
export { createVerifier } from "countersign";
