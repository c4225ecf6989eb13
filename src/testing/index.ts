/** What users test their agents with. */
export * as Arbitraries from "./Arbitraries.ts"
export type * as ScriptedAnswer from "./ScriptedAnswer.ts"
export { type Asked, ScriptedModel, type ScriptedModelOptions, ScriptNotUsedUp } from "./ScriptedModel.ts"
export * as Simulation from "./Simulation.ts"
export * as TestRunner from "./TestRunner.ts"
