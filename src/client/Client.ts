/**
 * The typed client: sessions by a chosen id, commands that are idempotent, feeds that resume.
 *
 * It runs wherever the store can be reached: in a runner, or beside the cluster (`Runner.layerClient`).
 */
import { randomUUID } from "node:crypto"
import { Context, Duration, Effect, Layer, Option, Stream } from "effect"
import { Blobs, Claim } from "../blob/index.ts"
import type { Command, TurnOutcome } from "../domain/Entry.ts"
import * as Errors from "../domain/Errors.ts"
import { AgentName, CommandId, type SessionKey, StepId } from "../domain/Id.ts"
import { Cursor } from "../feed/index.ts"
import { Journal } from "../journal/index.ts"
import { type SessionFilter, type SessionInfo, Store } from "../store/index.ts"
import { ask } from "./internal/ask.ts"
import { follow } from "./internal/follow.ts"
import { because, carriedBytes, keyOf, partsOf, valid, validAmounts, validAttributes } from "./internal/valid.ts"
import type { Accepted, ReviveOptions, Session, Unavailable } from "./Session.ts"
import { ClientSettings } from "./Settings.ts"
import { Transport } from "./Transport.ts"
import { TurnNotCompleted } from "./TurnNotCompleted.ts"

/** What names an agent: its definition, or its name and version. */
export interface AgentLike {
  readonly name: string
  readonly version: string
}

export interface SessionOptions {
  /** `"default"` unless told. */
  readonly namespace?: string | undefined
  /** Searchable: kept from the creation on. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

export class Client extends Context.Tag("perdure/Client")<
  Client,
  {
    /** Creates a session of an agent, or takes up the one that has this id. */
    readonly session: (
      agent: AgentLike,
      id: string,
      options?: SessionOptions
    ) => Effect.Effect<Session, Unavailable | Errors.AgentMismatch | Errors.InvalidInput>
    /** Takes up a session that exists, whatever its agent. Asks nobody. */
    readonly existing: (
      id: string,
      options?: Pick<SessionOptions, "namespace">
    ) => Effect.Effect<Session, Errors.InvalidInput>
    /** Sessions by what is searchable of them, newest first. Wakes none. */
    readonly sessions: (filter?: SessionFilter) => Effect.Effect<ReadonlyArray<SessionInfo>, Errors.StoreUnavailable>
  }
>() {
  static readonly layer: Layer.Layer<Client, never, Transport | Store | Journal | Blobs> = Layer.effect(
    Client,
    Effect.suspend(() => make)
  )
}

/** Creates a session of an agent, or takes up the one that has this id: creating twice is one session. */
export const session = (agent: AgentLike, id: string, options?: SessionOptions) =>
  Effect.flatMap(Client, (client) => client.session(agent, id, options))

/** Takes up a session that exists. */
export const existing = (id: string, options?: Pick<SessionOptions, "namespace">) =>
  Effect.flatMap(Client, (client) => client.existing(id, options))

/** Sessions by what is searchable of them, newest first. */
export const sessions = (filter?: SessionFilter) => Effect.flatMap(Client, (client) => client.sessions(filter))

const make = Effect.gen(function* () {
  const store = yield* Store
  const journal = yield* Journal
  const blobs = yield* Blobs
  const settings = yield* ClientSettings
  const transport = yield* Transport
  const pollMs = Duration.toMillis(settings.poll)

  const hold = (key: SessionKey): Session => {
    const remote = transport(key)

    const accept = (id: string | undefined, command: Command) =>
      Effect.gen(function* () {
        const commandId = yield* valid(CommandId, "command id")(id ?? randomUUID())
        const bytes = Buffer.byteLength(JSON.stringify(command))
        if (bytes > carriedBytes) return yield* new Errors.MessageTooLarge({ bytes, limit: carriedBytes })
        const { seq } = yield* ask(settings, remote.Accept({ id: commandId, command }))
        const accepted: Accepted = { id: commandId, seq, cursor: Cursor.encode({ seq, seen: {} }) }
        return accepted
      })

    const send: Session["send"] = (message, options) =>
      Effect.flatMap(partsOf(message), (parts) =>
        accept(options?.id, {
          _tag: "Send",
          parts,
          whenBusy: options?.whenBusy ?? "enqueue",
          ...(options?.policy === undefined ? {} : { policy: options.policy })
        })
      )

    const stop: Session["stop"] = (how, options) =>
      accept(options?.id, { _tag: how === "interrupt" ? "Interrupt" : "Cancel", ...because(options) })

    const raise: Session["raise"] = ({ wall, ...by }, options) =>
      Effect.flatMap(validAmounts(wall === undefined ? by : { ...by, wallMs: Duration.toMillis(wall) }), (by) =>
        accept(options?.id, { _tag: "Raise", by, ...because(options) })
      )

    const decide: Session["decide"] = (pause, decision, options) =>
      accept(options?.id, { _tag: "Decide", pause, decision, ...because(options) })

    const settle: Session["settle"] = (step, verdict, options) =>
      Effect.flatMap(valid(StepId, "step")(step), (step) =>
        accept(options?.id, {
          _tag: "Settle",
          step,
          verdict,
          ...(options?.result === undefined ? {} : { result: options.result })
        })
      )

    const about = (tag: "Revive" | "Discard") => (options?: ReviveOptions) =>
      Effect.flatMap(
        options?.step === undefined ? Effect.succeed(undefined) : valid(StepId, "step")(options.step),
        (step) => accept(options?.id, { _tag: tag, ...(step === undefined ? {} : { step }), ...because(options) })
      )

    const feed: Session["feed"] = (options) =>
      Stream.unwrap(
        Effect.map(
          options?.after === undefined ? Effect.succeed(Cursor.start) : Cursor.decode(options.after),
          (cursor) =>
            follow(key, cursor, journal, (request) => ask(settings, remote.Pull(request), request.waitMs), pollMs)
        )
      ).pipe(Stream.provideService(Blobs, blobs))

    const result: Session["result"] = (accepted) => {
      let turn: number | null = null
      return feed({ after: accepted.cursor }).pipe(
        Stream.filterMap((event): Option.Option<TurnOutcome | "closed"> => {
          if (event._tag !== "Entry") return Option.none()
          const { entry } = event.recorded
          if (entry._tag === "TurnStarted" && entry.command === accepted.id) turn = entry.turn
          if (entry._tag === "TurnEnded" && entry.turn === turn) return Option.some(entry.outcome)
          return entry._tag === "SessionEnded" ? Option.some("closed" as const) : Option.none()
        }),
        Stream.runHead,
        Effect.flatMap(
          (found): Effect.Effect<TurnOutcome, Errors.SessionClosed> =>
            Option.isSome(found) && found.value !== "closed"
              ? Effect.succeed(found.value)
              : Effect.fail(new Errors.SessionClosed(key))
        )
      )
    }

    const answer: Session["ask"] = (message, options) =>
      Effect.gen(function* () {
        const outcome = yield* result(yield* send(message, options))
        if (outcome._tag !== "Completed") return yield* new TurnNotCompleted({ outcome })
        const output = yield* Claim.resolve(key.namespace, outcome.output)
        return typeof output === "string" ? output : JSON.stringify(output)
      }).pipe(Effect.provideService(Blobs, blobs))

    return {
      namespace: key.namespace,
      id: key.session,
      send,
      result,
      ask: answer,
      feed,
      interrupt: stop("interrupt"),
      cancel: stop("cancel"),
      stop,
      raise,
      decide,
      settle,
      revive: about("Revive"),
      discard: about("Discard"),
      state: ask(settings, remote.Inspect()),
      content: (text) => {
        const claim = Claim.parse(text)
        return claim === null ? Stream.succeed(new TextEncoder().encode(text)) : blobs.stream(key.namespace, claim.hash)
      }
    }
  }

  return Client.of({
    session: (agent, id, options) =>
      Effect.gen(function* () {
        const key = yield* keyOf(id, options?.namespace)
        const created = {
          _tag: "SessionCreated",
          agent: yield* valid(AgentName, "agent")(agent.name),
          agentVersion: agent.version,
          attributes: yield* validAttributes(options?.attributes ?? {})
        } as const
        yield* ask(settings, transport(key).Create({ created }))
        return hold(key)
      }),
    existing: (id, options) => Effect.map(keyOf(id, options?.namespace), hold),
    sessions: (filter = {}) => store.sessions(filter)
  })
})
