/**
 * Clients under fire: they send with ids until they have an answer, send again what was answered, interrupt, cancel, and
 * follow feeds that they lose and take up from their cursors. All that they know is in their log, so that a process of
 * them that was killed goes on where it was.
 */
import { Cause, Deferred, Effect, Exit, Fiber, FiberId, Schedule, Stream } from "effect"
import type { Client, Session } from "../../src/client/index.ts"
import { Prng } from "../../src/testing/internal/sim/Prng.ts"
import type { CommandKind, Happened } from "../../src/testing/internal/sim/History.ts"
import type { Log } from "./Log.ts"
import type { Plan } from "./Provider.ts"

type Api = Client.Client["Type"]

interface Reader {
  readonly name: string
  cursor: string | null
  isDone: boolean
}

/** Whether nobody begins anything any more, and all are patient. */
export interface Weather {
  calm: boolean
}

export interface Options {
  readonly api: Api
  readonly log: Log
  /** Of this life of the process. */
  readonly client: string
  readonly weather: Weather
}

const readerOf = (session: string): string => `reader-${session}`

/** Answers that say nothing of the command: it is sent again. */
const passing: ReadonlySet<string> = new Set(["RunnerUnreachable", "StoreUnavailable", "AgentUnknown"])

const told = (cause: Cause.Cause<unknown>): string => String(Cause.squash(cause)).slice(0, 300)

const tools = [
  ["act", 5, 120],
  ["look", 5, 60],
  ["book", 5, 200],
  ["shell", 50, 500]
] as const

/** What a session is asked, all of it from its name. */
const planOf = (session: string) => {
  const random = new Prng(session)
  const messages = Array.from({ length: random.int(1, 4) }, (_, i): Plan => {
    const rounds = Array.from({ length: random.int(0, 3) }, () =>
      Array.from({ length: random.pick([1, 1, 2, 3]) }, () => {
        const [tool, from, to] = random.pick([...tools, tools[0], tools[0]])
        return [tool, random.int(from, to)] as const
      })
    )
    return { id: `${session}-${i}`, rounds, words: random.int(1, 30) }
  })
  return { messages, cancels: random.chance(0.1), readers: random.int(1, 2), random }
}

/** What was known of a session when the process before this one ended. */
const remembered = (past: ReadonlyArray<Happened>, key: string) => {
  const answered = new Set<string>()
  const cursors = new Map<string, string>()
  const ended = new Set<string>()
  const turns = new Map<number, string>()
  for (const event of past) {
    if (!("session" in event) || event.session !== key) continue
    if (event._tag === "Acked" || (event._tag === "Refused" && !passing.has(event.error))) answered.add(event.command)
    if (event._tag !== "Read") continue
    cursors.set(event.reader, event.event.cursor)
    if (event.event._tag !== "Entry") continue
    const { entry } = event.event.recorded
    if (entry._tag === "TurnStarted") turns.set(entry.turn, entry.command)
    if (entry._tag === "TurnEnded") ended.add(turns.get(entry.turn) ?? "")
  }
  return { answered, cursors, ended, turns }
}

/** One session from its creation until all is answered and its readers have read all; again, it goes on. */
const serve = (options: Options, id: string, past: ReadonlyArray<Happened>): Effect.Effect<void> => {
  const { api, client, log, weather } = options
  const key = `default/${id}`
  const plan = planOf(id)
  // What is drawn in passing, apart from the plan.
  const random = new Prng(`${id}/${client}`)
  const known = remembered(past, key)
  const turnsEnded = new Map<string, Deferred.Deferred<void>>()
  const endOf = (command: string) => {
    const there = turnsEnded.get(command) ?? Deferred.unsafeMake<void>(FiberId.none)
    turnsEnded.set(command, there)
    return there
  }
  let closed = false
  const closing = Deferred.unsafeMake<void>(FiberId.none)

  const ask = (
    command: string,
    kind: CommandKind,
    text: string | undefined,
    request: () => Effect.Effect<{ readonly seq: number }, { readonly _tag: string; readonly message: string }>
  ): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      log.record({ _tag: "Sent", client, session: key, command, kind, ...(text === undefined ? {} : { text }) })
      return Effect.exit(request())
    }).pipe(
      Effect.flatMap((exit) => {
        if (Exit.isSuccess(exit)) {
          log.record({ _tag: "Acked", client, session: key, command, seq: exit.value.seq })
          return Effect.succeed(true)
        }
        const error = exit.cause._tag === "Fail" ? exit.cause.error : { _tag: "Defect", message: told(exit.cause) }
        log.record({ _tag: "Refused", client, session: key, command, error: error._tag, message: error.message })
        if (error._tag === "SessionClosed") closed = true
        if (!passing.has(error._tag)) return Effect.succeed(false)
        return Effect.zipRight(Effect.sleep(random.skewed(100, 1000)), ask(command, kind, text, request))
      })
    )

  const follow = (session: Session, reader: Reader): Effect.Effect<void> => {
    const patience = Effect.suspend(() => (weather.calm ? Effect.never : Effect.sleep(random.skewed(200, 15_000))))
    const once = Effect.suspend(() => {
      log.record({ _tag: "Follow", reader: reader.name, session: key, cursor: reader.cursor })
      return session.feed({ after: reader.cursor ?? undefined }).pipe(
        Stream.runForEach((event) =>
          Effect.gen(function* () {
            reader.cursor = event.cursor
            log.record({ _tag: "Read", reader: reader.name, session: key, event })
            if (event._tag !== "Entry") return
            const { entry } = event.recorded
            if (entry._tag === "TurnStarted") known.turns.set(entry.turn, entry.command)
            if (entry._tag === "TurnEnded") yield* Deferred.succeed(endOf(known.turns.get(entry.turn) ?? ""), undefined)
            if (entry._tag === "SessionEnded") {
              closed = true
              yield* Deferred.succeed(closing, undefined)
            }
          })
        ),
        Effect.zipRight(
          Effect.sync(() => {
            reader.isDone = true
          })
        ),
        Effect.raceFirst(patience),
        Effect.catchAllCause((cause) =>
          Effect.sync(() => log.record({ _tag: "Told", process: reader.name, what: `its feed failed: ${told(cause)}` }))
        )
      )
    })
    return Effect.zipRight(
      once,
      Effect.suspend(() => Effect.sleep(random.skewed(1, 1000)))
    ).pipe(Effect.repeat({ until: () => reader.isDone }), Effect.asVoid)
  }

  return Effect.gen(function* () {
    for (const command of known.ended) yield* Deferred.succeed(endOf(command), undefined)
    yield* ask("create", "Create", undefined, () =>
      Effect.as(api.session({ name: "worker", version: "1" }, id), { seq: 1 })
    )
    const session = yield* Effect.orDie(api.existing(id))
    const readers = Array.from({ length: plan.readers }, (_, i): Reader => {
      const name = `${readerOf(id)}-${i}`
      return { name, cursor: known.cursors.get(name) ?? null, isDone: false }
    })
    const following = yield* Effect.forEach(readers, (reader) => Effect.fork(follow(session, reader)))

    for (const [i, message] of plan.messages.entries()) {
      if (closed) break
      const command = `m${i}`
      const text = JSON.stringify(message)
      const send = ask(command, "Send", JSON.stringify(["Send", text, "enqueue"]), () =>
        session.send(text, { id: command })
      )
      if (!known.answered.has(command)) {
        // The impatient ask twice at once.
        yield* random.chance(0.1) ? Effect.all([send, send], { concurrency: 2, discard: true }) : send
        if (random.chance(0.15)) yield* Effect.zipRight(Effect.sleep(random.skewed(1, 2000)), send)
      }
      const stop = (kind: "Interrupt" | "Cancel") => {
        const id = `${command}-${kind}`
        return ask(id, kind, JSON.stringify([kind]), () =>
          session.stop(kind === "Cancel" ? "cancel" : "interrupt", { id })
        )
      }
      const isLast = i === plan.messages.length - 1
      if (isLast && plan.cancels) {
        yield* Effect.sleep(random.skewed(1, 1500))
        if (!known.answered.has(`${command}-Cancel`)) yield* stop("Cancel")
        break
      }
      if (random.chance(0.12)) yield* Effect.zipRight(Effect.sleep(random.skewed(1, 1500)), stop("Interrupt"))
      // Now and then the next message does not wait for the end of this one's turn.
      if (!random.chance(0.2)) yield* Effect.raceFirst(Deferred.await(endOf(command)), Deferred.await(closing))
    }
    // All turns are over by what the readers have read, and each of them has read it all.
    if (!plan.cancels) {
      for (const i of plan.messages.keys()) {
        if (!closed) yield* Effect.raceFirst(Deferred.await(endOf(`m${i}`)), Deferred.await(closing))
      }
      const { seq } = yield* Effect.retry(session.state, Schedule.spaced("300 millis"))
      yield* Effect.repeat(Effect.sleep("20 millis"), {
        until: () => readers.every((reader) => reader.isDone || Number((reader.cursor ?? "0").split("~")[0]) >= seq)
      })
      yield* Fiber.interruptAll(following)
    } else yield* Fiber.joinAll(following)
  }).pipe(Effect.catchAllCause((cause) => Effect.die(new Error(`customer of ${id}: ${Cause.pretty(cause)}`))))
}

/** Those that were begun, and of them those that are not done; `prefix` is of whose. */
const begunOf = (past: ReadonlyArray<Happened>, prefix: string) => {
  const begun = new Set(past.flatMap((event) => (event._tag === "Sent" ? [event.session] : [])))
  const done = new Set(past.flatMap((event) => (event._tag === "Told" && event.process === prefix ? [event.what] : [])))
  return { begun, open: [...begun].map((key) => key.slice("default/".length)).filter((id) => !done.has(id)) }
}

/**
 * What those that wait for something have last heard, and what another client hears of their sessions, for whoever wonders
 * whether it is the client or the runner that does not go on.
 */
export const whyOpen = (api: Api, past: ReadonlyArray<Happened>, prefix: string): Effect.Effect<string> =>
  Effect.forEach(
    begunOf(past, prefix).open,
    (id) => {
      const own = past.filter(
        (event) =>
          ("session" in event && event.session === `default/${id}`) ||
          (event._tag === "Told" && event.process.startsWith(`${readerOf(id)}-`))
      )
      const lines = own.slice(-12).map((event) => `  ${JSON.stringify(event).slice(0, 300)}`)
      return Effect.flatMap(api.existing(id), (session) => session.state).pipe(
        Effect.match({ onSuccess: (state) => JSON.stringify(state), onFailure: String }),
        Effect.map((state) => [`${id} has last heard:`, ...lines, `  another client hears: ${state}`].join("\n"))
      )
    },
    { concurrency: "unbounded" }
  ).pipe(Effect.map((all) => all.join("\n")))

/**
 * So many sessions at a time, one after another, until it is calm: first those that were open in the life before this one.
 * `prefix` begins their names, and is who tells the log of those that are done.
 */
export const shop = (options: Options, prefix: string, atOnce: number): Effect.Effect<void> => {
  const { log, weather } = options
  const past = log.events()
  const { begun, open } = begunOf(past, prefix)
  let next = begun.size
  const one = (id: string, past: ReadonlyArray<Happened>) =>
    Effect.map(serve(options, id, past), () => log.record({ _tag: "Told", process: prefix, what: id }))
  const place = (id: string | undefined): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (id !== undefined) return Effect.zipRight(one(id, past), place(undefined))
      return weather.calm ? Effect.void : Effect.zipRight(one(`${prefix}${next++}`, []), place(undefined))
    })
  return Effect.forEach(
    Array.from({ length: Math.max(atOnce, open.length) }, (_, i) => open[i]),
    place,
    { concurrency: "unbounded", discard: true }
  )
}
