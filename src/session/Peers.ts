/** The other runners, as sessions need to know them. The runner fills it in. */
import { Context } from "effect"

export class Peers extends Context.Tag("perdure/Peers")<
  Peers,
  {
    /** This runner's address; empty before it is one of them. */
    readonly self: () => string
    /** Whether a runner is one of them, also one that is about to leave: what it has asked for is still wanted. */
    readonly isThere: (address: string) => boolean
    /** The addresses of all runners, this one's too. */
    readonly all: () => ReadonlyArray<string>
    /** Whether there are never others. */
    readonly isAlone: () => boolean
    /** Whether a runner that takes work, this one or another, has the tag. */
    readonly serves: (tag: string) => boolean
    /** Runs the callback whenever a runner comes or goes. Returns how to forget it. */
    readonly onChange: (callback: () => void) => () => void
  }
>() {}
