import { Context, Layer } from "effect"

/** How blobs are stored. */
export interface Values {
  /**
   * The size of a chunk in bytes; all of a blob's but the last have it. A power of two: then the number of chunks
   * tells the size with which a blob was written (`Layout.chunkBytesOf`), and it may change at any time.
   *
   * Larger chunks mean fewer commits, and hold the event loop for longer (README.md has the measurements).
   */
  readonly chunkBytes: number
  /** For how long a chunk is tried again while the store does not answer, in milliseconds: a stream cannot be repeated. */
  readonly retryMs: number
}

export const defaults: Values = { chunkBytes: 512 * 1024, retryMs: 30_000 }

export class BlobSettings extends Context.Reference<BlobSettings>()("perdure/BlobSettings", {
  defaultValue: (): Values => defaults
}) {
  static readonly layer = (values: Partial<Values>): Layer.Layer<never> =>
    Layer.succeed(BlobSettings, { ...defaults, ...values })
}
