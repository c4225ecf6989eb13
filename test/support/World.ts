/** What the scenarios share: directories, clients from outside, and what is read off feeds, journals and requests. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ConfigProvider, Effect, Layer, Redacted, Schedule, type Scope, Stream } from "effect"
import type { Session } from "../../src/client/index.ts"
import type { Entry } from "../../src/domain/Entry.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import type { FeedEvent } from "../../src/feed/index.ts"
import { Journal } from "../../src/journal/index.ts"
import { Runner } from "../../src/runner/index.ts"
import type { Recorded } from "./FakeProvider.ts"
import * as Runners from "./Runners.ts"

/** A directory of one's own, removed with the scope. */
export const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "perdure-pattern-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** A client in this process of runners in others. */
export const clientOf = (store: Redacted.Redacted | { readonly directory: string }): Layer.Layer<Runner.Provided> =>
  Layer.orDie<Runner.Provided, unknown, never>(
    Redacted.isRedacted(store)
      ? Runner.layerClient().pipe(
          Layer.provide(
            Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(store)]])))
          )
        )
      : Runner.layerLocal(store)
  )

/** Waits until something is so that nobody signals: another process did it. */
export const until = (what: string, test: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (test() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry({ schedule: Runners.often }),
    Effect.orElse(() => Effect.dieMessage(`it did not come to pass: ${what}`))
  )

/** Waits until a session rests, without reading its feed: whoever counts what is read does not want to count that. */
export const atRest = (session: Session) =>
  Effect.repeat(session.state, {
    until: ({ queued, turn }) => turn === null && queued === 0,
    schedule: Schedule.spaced("3 millis")
  })

/** All entries of a session, from the store. */
export const entriesOf = (session: string): Effect.Effect<ReadonlyArray<Entry>, never, Journal> =>
  Effect.flatMap(Journal, (journal) =>
    Stream.runCollect(journal.read(SessionKey.parse(`default/${session}`), 0)).pipe(
      Effect.map((all) => [...all].map(({ entry }) => entry)),
      Effect.orDie
    )
  )

/** What of a chain does not verify. */
export const problemsOf = (session: string) =>
  Effect.flatMap(Journal, (journal) => journal.verify(SessionKey.parse(`default/${session}`))).pipe(
    Effect.map(({ problems }) => problems)
  )

type Of<Tag extends Entry["_tag"]> = Extract<Entry, { readonly _tag: Tag }>

export const tagged = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Entry>, tag: Tag): ReadonlyArray<Of<Tag>> =>
  entries.filter((entry): entry is Of<Tag> => entry._tag === tag)

/** What a reader has put together by itself: the text of each step, cut where it was told to. */
export class Reader {
  readonly events: Array<FeedEvent> = []
  readonly texts = new Map<string, string>()
  readonly seqs: Array<number> = []
  rewinds = 0
  cursor: string | undefined

  readonly take = (event: FeedEvent): void => {
    this.events.push(event)
    this.cursor = event.cursor
    switch (event._tag) {
      case "Delta":
        if (event.channel === "text") this.texts.set(event.step, this.text(event.step) + event.text)
        break
      case "Rewind":
        this.rewinds++
        this.texts.set(event.step, this.text(event.step).slice(0, event.text))
        break
      case "Entry":
        this.seqs.push(event.recorded.seq)
        break
    }
  }

  text(step: string): string {
    return this.texts.get(step) ?? ""
  }
}

/** Whether an event is the end of a turn. */
export const isTurnEnd = (event: FeedEvent): boolean =>
  event._tag === "Entry" && event.recorded.entry._tag === "TurnEnded"

/** How many answers the conversation of a request holds: which one is due. */
export const answered = ({ body }: Recorded): number =>
  body.messages.filter((message: { readonly role: string }) => message.role === "assistant").length

/** What the tools said, as a request tells the model. */
export const toolResults = ({ body }: Recorded): ReadonlyArray<string> =>
  body.messages.flatMap((message: { readonly content: unknown }) =>
    Array.isArray(message.content)
      ? message.content
          .filter((part) => part.type === "tool_result")
          .map((part) => (typeof part.content === "string" ? part.content : JSON.stringify(part.content)))
      : []
  )
