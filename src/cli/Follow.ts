/** Shows a feed as it comes. */
import { Effect, Stream } from "effect"
import type { FeedEvent } from "../feed/index.ts"
import type { ReaderGone } from "./CliError.ts"
import * as Output from "./Output.ts"
import * as View from "./View.ts"

/** The view that suits where the output goes. */
export const view = (json: boolean, colours: boolean): View.View =>
  json
    ? View.jsonView
    : View.make({ terminal: Output.isTerminal(), style: Output.style(colours), width: Output.width() })

/** Writes what a view has made. */
export const write = ({ err, out }: View.Words): Effect.Effect<void, ReaderGone> =>
  Effect.zipRight(Output.out(out), Output.err(err))

/** Shows events until one is the last; nothing after it is shown. */
export const show = <E, R, E2>(
  feed: Stream.Stream<FeedEvent, E, R>,
  view: View.View,
  isLast: (event: FeedEvent) => Effect.Effect<boolean, E2, R>
): Effect.Effect<void, E | E2 | ReaderGone, R> =>
  feed.pipe(
    Stream.takeUntilEffect((event) => {
      return Effect.zipRight(write(view.event(event)), isLast(event))
    }),
    Stream.runDrain
  )
