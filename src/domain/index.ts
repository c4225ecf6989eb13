/** The words of Perdure as types: ids, entries, messages, failures, usage. */
export * as Claim from "./Claim.ts"
export * as Entry from "./Entry.ts"
export * as Errors from "./Errors.ts"
export * as Failure from "./Failure.ts"
export * as Id from "./Id.ts"
export * as Json from "./Json.ts"
export * as Message from "./Message.ts"
export * as Usage from "./Usage.ts"
