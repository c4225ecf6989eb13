/** What to do when a step fails, and how much a provider is asked. */
export * as Breaker from "./Breaker.ts"
export * as FairQueue from "./FairQueue.ts"
export * as Limiter from "./Limiter.ts"
export * as Policy from "./Policy.ts"
export * as RateLimits from "./RateLimits.ts"
