/** `perdure send`, `interrupt`, `cancel`: commands into a session, through the runner that is up. */
import { Context, Effect, Option } from "effect"
import { type Accepted, Client, type Session } from "../../client/index.ts"
import { BadArgument } from "../CliError.ts"
import * as Message from "../Message.ts"
import * as Output from "../Output.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options, Message.Options {
  readonly session: string
  readonly id: Option.Option<string>
  readonly json: boolean
  /** `send`: creates the session with this agent if it is not there. */
  readonly agent: Option.Option<string>
  readonly whenBusy: "enqueue" | "reject" | "interrupt"
  /** `interrupt`, `cancel`. */
  readonly reason: Option.Option<string>
}

type Reaching = Pick<Options, "session" | "agent" | keyof Where.Options>

/** Says that a command is in the journal. */
export const accepted = (options: Pick<Options, "session" | "json">, command: string, { cursor, id, seq }: Accepted) =>
  Output.out(
    options.json
      ? Output.json({ type: "accepted", session: options.session, command, id, seq, cursor })
      : `accepted ${command} ${id} as entry ${seq} of ${options.session}; cursor ${cursor}\n`
  )

/** The session, through the runner that is up. */
export const reach = (options: Reaching) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const { namespace } = where
    const client = Context.get(yield* Where.buildClient(where), Client.Client)
    return Option.isNone(options.agent)
      ? yield* client.existing(options.session, { namespace })
      : yield* client.session(named(options.agent.value), options.session, { namespace })
  })

/** `weather`, or `weather@2`. */
const named = (agent: string) => {
  const [name, version = "1"] = agent.split("@", 2)
  return { name: name!, version }
}

const idOf = (options: Options) => (Option.isSome(options.id) ? { id: options.id.value } : {})

export const send = (options: Options) =>
  Effect.gen(function* () {
    const message = yield* Message.read(options)
    if (message === null) {
      return yield* new BadArgument({ argument: "--message", reason: "there is nothing to send: give it, or --parts" })
    }
    const session = yield* reach(options)
    yield* accepted(options, "send", yield* session.send(message, { ...idOf(options), whenBusy: options.whenBusy }))
  }).pipe(Effect.scoped)

const stop = (how: Parameters<Session["stop"]>[0]) => (options: Options) =>
  Effect.gen(function* () {
    const session = yield* reach(options)
    const reason = Option.isSome(options.reason) ? { reason: options.reason.value } : {}
    yield* accepted(options, how, yield* session.stop(how, { ...idOf(options), ...reason }))
  }).pipe(Effect.scoped)

export const interrupt = stop("interrupt")
export const cancel = stop("cancel")
