/** The other runners, as sessions need to know them. The runner fills it in. */
import { Context } from "effect"

export class Peers extends Context.Tag("perdure/Peers")<
  Peers,
  {
    /** This runner's address; empty before it is one of them. */
    readonly self: () => string
    readonly isThere: (address: string) => boolean
    /** Whether a runner that is there, this one or another, has the tag. */
    readonly serves: (tag: string) => boolean
    /** Runs the callback whenever a runner comes or goes. Returns how to forget it. */
    readonly onChange: (callback: () => void) => () => void
  }
>() {}
