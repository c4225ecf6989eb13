/** The machines that the behaviour suite is run on: each backend that works here, in each of its variants. */
import { Effect, Layer } from "effect"
import { Processes } from "../../src/process/index.ts"

type Options = Parameters<typeof Processes.layerWith>[0]

const candidates: ReadonlyArray<readonly [name: string, options: Options]> = [
  ["namespace", { backend: "namespace", ...(process.getuid?.() === 0 ? { privilege: "root" } : {}) }],
  ["namespace, unprivileged", { backend: "namespace", privilege: "user" }],
  ["watchdog", { backend: "watchdog" }],
  ["watchdog, by ps", { backend: "watchdog", listing: "ps" }]
]

const works = (options: Options) =>
  Effect.runPromise(
    Effect.scoped(Layer.build(Processes.layerWith(options))).pipe(
      Effect.as(true),
      Effect.catchAllCause(() => Effect.succeed(false))
    )
  )

export interface Machine {
  readonly name: string
  readonly options: Options
  readonly namespace: boolean
  readonly supported: boolean
  /** How many supervisors of its own bear the marker of a process. */
  readonly supervisors: number
}

export const machines: ReadonlyArray<Machine> = await Promise.all(
  candidates.map(async ([name, options]) => ({
    name,
    options,
    namespace: options.backend === "namespace",
    supported: await works(options),
    supervisors: options.backend === "namespace" ? 1 : 0
  }))
)

let counter = 0
/** A text that no other process of this machine bears. */
export const mark = (): string => `mark-${process.pid}-${process.hrtime.bigint()}-${++counter}`
