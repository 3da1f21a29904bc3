// Express 4 under its own name; the parts that the tests use have the types of Express 5.
declare module "express4" {
  export { default } from "express";
}
