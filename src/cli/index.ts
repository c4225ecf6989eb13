/** The command line: `main.ts` is the program; nothing here is for import by others. */
export * as ExitCode from "./ExitCode.ts"
export * as Module from "./Module.ts"
export * as Trace from "./Trace.ts"
