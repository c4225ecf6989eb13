/** Cursors, live text, and what a reader sees. */
export type { Channel, Seen } from "./Cursor.ts"
export * as Cursor from "./Cursor.ts"
export { InvalidCursor } from "./Cursor.ts"
export type { FeedEvent, Page } from "./Feed.ts"
export * as Feed from "./Feed.ts"
export { Live, type LiveStep } from "./Live.ts"
