/** The one place that touches `@effect/ai`'s `LanguageModel`: a request in, deltas and one answer out. */
export * as Classify from "./Classify.ts"
export * as Direct from "./Direct.ts"
export * as Model from "./Model.ts"
export * as Models from "./Models.ts"
export * as Prices from "./Prices.ts"
export * as RateHeaders from "./RateHeaders.ts"
export * as Windows from "./Windows.ts"
export { continuation } from "./internal/ToPrompt.ts"
