// A service that only verifies, bundled to measure its size.
export { createVerifier } from "countersign";
