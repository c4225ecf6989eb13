/** The runners that a lane's host has to do with: what each wants, has and has not been told of. */
import type { Granted, Wanted } from "./laneProtocol.ts"

export interface Waiting extends Wanted {
  readonly runner: Known
  /** What the runner calls it. */
  readonly own: string
}

/** Two runners may call what they want the same. */
export const idOf = (known: Known, own: string): string => `${known.name}/${own}`

export interface Permit extends Granted {
  readonly runner: Known
  readonly probe: string | null
  /** The provider has begun to answer it. */
  isAnswering: boolean
}

/** A runner that asks its lane's host for permits, as the host knows it. */
export interface Known {
  readonly name: string
  seenAt: number
  /** When it is to ask again. */
  dueAt: number
  /** When it was answered last. */
  toldAt: number
  /** Up to which grant its copy goes. */
  known: number
  want: number
  readonly permits: Map<string, Permit>
  /** Granted, and not known to have been told. */
  readonly untold: Map<string, Granted>
  hasNews: boolean
}

/** One that has just come. */
export const guest = (name: string, now: number): Known => ({
  name,
  seenAt: now,
  dueAt: now,
  toldAt: 0,
  known: -1,
  want: 0,
  permits: new Map(),
  untold: new Map(),
  hasNews: false
})
