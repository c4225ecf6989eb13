/** What users test their agents with. */
export type * as ScriptedAnswer from "./ScriptedAnswer.ts"
export { type Asked, ScriptedModel, type ScriptedModelOptions, ScriptNotUsedUp } from "./ScriptedModel.ts"
