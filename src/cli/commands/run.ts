/** `perdure run`: hosts a module's agents for as long as one turn takes, and shows it. */
import { Context, Effect, Option } from "effect"
import { Client, type Session, TurnNotCompleted } from "../../client/index.ts"
import type { TurnOutcome } from "../../domain/Entry.ts"
import * as Errors from "../../domain/Errors.ts"
import { SessionKey } from "../../domain/Id.ts"
import { Cursor, type FeedEvent } from "../../feed/index.ts"
import { Journal } from "../../journal/index.ts"
import { AgentNotNamed } from "../CliError.ts"
import * as Follow from "../Follow.ts"
import * as Host from "../Host.ts"
import * as Key from "../Key.ts"
import * as Message from "../Message.ts"
import * as Module from "../Module.ts"
import * as Output from "../Output.ts"
import * as Waiting from "../internal/Waiting.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options, Message.Options {
  readonly module: string
  readonly session: string
  readonly agent: Option.Option<string>
  readonly id: Option.Option<string>
  readonly json: boolean
  readonly colours: boolean
}

/** The runner: ours, or where the directory has one already, that one. */
const runnerOf = (where: Where.Where, module: Module.Loaded) =>
  Host.start(where, module).pipe(
    Effect.catchTag("DirectoryInUse", (error) =>
      Where.buildClient(where).pipe(
        Effect.mapError(() => error),
        Effect.tap(() => Output.err(`${error.directory} has a runner already: it does the work\n`))
      )
    )
  )

/** Which of several agents is meant: a session that exists knows it. */
const agentOf = (where: Where.Where, module: Module.Loaded, session: string) =>
  Effect.gen(function* () {
    const key = yield* Key.of(where, session)
    const info = yield* Key.existing(key).pipe(
      Effect.provide(Where.reader(where)),
      // No store, no session: whoever starts one says with which agent.
      Effect.orElseSucceed(() => null)
    )
    const found = module.agents.find(({ name }) => name === info?.agent)
    return found ?? (yield* new AgentNotNamed({ path: module.path, known: module.agents.map(({ name }) => name) }))
  })

const cutOff =
  "the answer was cut off: the model reached its limit of output. Allow it more where the module makes the model (Anthropic: `config: { max_tokens: 16384 }`, 4096 unless told; OpenAI: `max_output_tokens`), or ask it to go on\n"

const pageEntries = 256

/** The place in front of the turn that runs now, read backwards from the journal's end. */
const beforeTurn = (key: SessionKey, end: number) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    for (let to = end; to > 0; to -= pageEntries) {
      const after = Math.max(0, to - pageEntries)
      const page = yield* journal.page(key, after, to - after)
      const start = page.findLast(({ entry }) => entry._tag === "TurnStarted" || entry._tag === "TurnEnded")
      if (start !== undefined) return start.entry._tag === "TurnStarted" ? start.seq - 1 : start.seq
    }
    return 0
  })

/** Follows to the end, and says how it ended; `null` when the session ended before the turn did. */
const follow = (
  options: Options,
  session: Session,
  after: string,
  isLast: (event: Extract<FeedEvent, { _tag: "Entry" }>) => Effect.Effect<boolean, unknown>
) =>
  Effect.gen(function* () {
    let last: { readonly turn: number; readonly outcome: TurnOutcome; readonly cursor: string } | null = null
    let come = 0
    const view = Follow.view(options.json, options.colours)
    const shown = Follow.show(session.feed({ after }), view, (event) => {
      come++
      if (event._tag !== "Entry") return Effect.succeed(false)
      const { entry } = event.recorded
      if (entry._tag === "TurnEnded") last = { turn: entry.turn, outcome: entry.outcome, cursor: event.cursor }
      return isLast(event)
    })
    const waits = Waiting.watch(
      session,
      () => come,
      (one) => Follow.write(view.waits(one))
    )
    yield* Effect.raceFirst(shown, waits)
    return last as { readonly turn: number; readonly outcome: TurnOutcome; readonly cursor: string } | null
  })

export const main = (options: Options) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const message = yield* Message.read(options)
    const module = yield* Module.load(options.module)
    const named = yield* Module.pick(module, Option.getOrUndefined(options.agent))
    // Going on takes up what is there, whatever its agent.
    const agent = message === null ? null : (named ?? (yield* agentOf(where, module, options.session)))
    const runner = yield* runnerOf(where, module)
    const client = Context.get(runner, Client.Client)
    const { namespace } = where
    const existing = yield* client.existing(options.session, { namespace })

    const finish = (last: { readonly turn: number; readonly outcome: TurnOutcome; readonly cursor: string }) =>
      Effect.gen(function* () {
        if (options.json) yield* Output.out(Output.json({ type: "result", session: existing.id, ...last }))
        if (last.outcome._tag !== "Completed") return yield* new TurnNotCompleted({ outcome: last.outcome })
        if (last.outcome.cut !== undefined && !options.json) yield* Output.err(cutOff)
      })

    const work = Effect.gen(function* () {
      if (message !== null && agent !== null) {
        const session = yield* client.session(agent, options.session, { namespace })
        const id = Option.getOrUndefined(options.id)
        const accepted = yield* session.send(message, id === undefined ? {} : { id })
        let mine = false
        const last = yield* follow(
          options,
          session,
          Cursor.encode({ seq: accepted.seq - 1, seen: {} }),
          ({ recorded: { entry } }) => {
            if (entry._tag === "TurnStarted") mine = entry.command === accepted.id
            return Effect.succeed(entry._tag === "TurnEnded" && mine)
          }
        )
        return last
      }
      const state = yield* existing.state
      if (state.status !== "active") {
        const turns = `${state.turns} ${state.turns === 1 ? "turn" : "turns"}`
        const says = state.status === "ended" ? "has ended" : "rests"
        yield* options.json
          ? Output.out(Output.json({ type: "rest", session: existing.id, status: state.status, turns: state.turns }))
          : Output.err(`session ${existing.id} ${says} after ${turns}: there is nothing to go on with\n`)
        return "rests" as const
      }
      const seq = yield* beforeTurn(
        SessionKey.make({ namespace: existing.namespace, session: existing.id }),
        state.seq
      ).pipe(Effect.provide(runner))
      return yield* follow(options, existing, Cursor.encode({ seq, seen: {} }), ({ recorded: { entry } }) =>
        entry._tag === "TurnEnded"
          ? Effect.map(existing.state, (now) => now.status !== "active")
          : Effect.succeed(false)
      )
    })

    const last = yield* work.pipe(
      Effect.onInterrupt(() =>
        Output.err(
          `\nstopped; session ${existing.id} goes on with: perdure run ${options.module} --session ${existing.id}${Where.flags(where)}\n`
        )
      )
    )
    if (last === "rests") return
    if (last === null) return yield* new Errors.SessionClosed({ namespace: existing.namespace, session: existing.id })
    return yield* finish(last)
  }).pipe(Effect.scoped)
