/** OS processes that never outlive what started them (I7). */
export * as Process from "./Process.ts"
export { Processes } from "./Process.ts"
export type { ProcessError } from "./ProcessError.ts"
export type { Captured, Exit, Finished, Running, RunOptions, Spawn } from "./Spawn.ts"
