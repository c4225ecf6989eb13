/** What to do when a step fails. */
export * as Policy from "./Policy.ts"
