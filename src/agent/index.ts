/** What an agent is, and how it decides. */
export * as Agent from "./Agent.ts"
export * as Conversation from "./Conversation.ts"
export * as Limits from "./Limits.ts"
export type { Policies } from "./Policies.ts"
export * as Reconcile from "./Reconcile.ts"
export { type Ran, ToolContext } from "./ToolContext.ts"
export type { TimeLimits, ToolOptions } from "./ToolOptions.ts"
export * as Transform from "./Transform.ts"
