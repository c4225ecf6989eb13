export * as Content from "./Content.ts"
export * as Metrics from "./Metrics.ts"
export * as Names from "./Names.ts"
export * as Spans from "./Spans.ts"
