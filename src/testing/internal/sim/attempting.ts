/** Which attempt of which step the running fiber works for: what a tool does outside is written down with it. */
import { FiberRef, GlobalValue, Option } from "effect"
import type { History } from "./History.ts"

export interface Attempting {
  readonly process: string
  readonly session: string
  readonly step: string
  readonly attempt: number
}

export interface Doing extends Attempting {
  readonly tool: string
  readonly key: string
  readonly history: History
  /** Ends the process in which it runs, as `kill -9` does. */
  readonly kill: () => void
}

export const attempting = GlobalValue.globalValue(Symbol.for("perdure/testing/attempting"), () =>
  FiberRef.unsafeMake<Option.Option<Doing>>(Option.none())
)
