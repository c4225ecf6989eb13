import { Config, Context, Layer } from "effect"

/** How the journal commits. The defaults serve; a test or an unusual database may want others. */
export interface Values {
  /** Most rows in one commit. What is over goes into the next one. A single append is never divided. */
  readonly batchRows: number
  /** Most payload in one commit, in bytes. */
  readonly batchBytes: number
  /**
   * For how long an append is tried again while the store does not answer, in milliseconds. After that its callers
   * get `StoreUnavailable`, and do not know whether it was written.
   */
  readonly retryMs: number
  /** The wait before the first retry, in milliseconds. It doubles up to `retryDelayMaxMs`, with jitter. */
  readonly retryDelayMs: number
  readonly retryDelayMaxMs: number
  /** How long closing waits for what was being committed, in milliseconds. */
  readonly closeMs: number
}

export const defaults: Values = {
  batchRows: 1024,
  batchBytes: 4 * 1024 * 1024,
  retryMs: 30_000,
  retryDelayMs: 10,
  retryDelayMaxMs: 1000,
  closeMs: 5000
}

export class JournalSettings extends Context.Reference<JournalSettings>()("perdure/JournalSettings", {
  defaultValue: (): Values => defaults
}) {
  static readonly layer = (values: Partial<Values>): Layer.Layer<never> =>
    Layer.succeed(JournalSettings, { ...defaults, ...values })

  /** From `JOURNAL_BATCH_ROWS`, `JOURNAL_BATCH_BYTES` and `JOURNAL_RETRY_MS`, where they are set. */
  static readonly layerConfig = Layer.effect(
    JournalSettings,
    Config.all({
      batchRows: Config.integer("BATCH_ROWS").pipe(Config.withDefault(defaults.batchRows)),
      batchBytes: Config.integer("BATCH_BYTES").pipe(Config.withDefault(defaults.batchBytes)),
      retryMs: Config.integer("RETRY_MS").pipe(Config.withDefault(defaults.retryMs))
    }).pipe(
      Config.nested("JOURNAL"),
      Config.map((values): Values => ({ ...defaults, ...values }))
    )
  )
}
