/** What the exit code is to be when a signal ends the command. */
import { Context, type Effect } from "effect"

export class Ending extends Context.Tag("perdure/cli/Ending")<
  Ending,
  { readonly onSignal: (code: number) => Effect.Effect<void> }
>() {}
