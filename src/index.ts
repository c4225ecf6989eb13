/**
 * Perdure: a durable, actor-model runtime for AI agents.
 *
 * What most programs need. Each room has all of its own: `perdure/agent`, `perdure/client`, `perdure/testing` …
 */
export { Agent, Limits, type Ran, Reconcile, ToolContext, Transform } from "./agent/index.ts"
export { type Accepted, Client, ClientSettings, type Session, TurnNotCompleted } from "./client/index.ts"
export * as Errors from "./domain/Errors.ts"
export type { Entry, Recorded, TurnOutcome, WhenBusy } from "./domain/Entry.ts"
export type { FeedEvent } from "./feed/index.ts"
export { Models, Prices } from "./model/index.ts"
export { Processes } from "./process/index.ts"
export { Policy, RateLimits } from "./resilience/index.ts"
export { Runner, RunnerSettings } from "./runner/index.ts"
