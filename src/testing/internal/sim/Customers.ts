/**
 * Clients of a simulated cluster, in a process of their own that can die too: what they have been told is kept outside of
 * it, as a customer's database would.
 *
 * They send each command until they have an answer, sometimes send one again that was answered, and follow feeds from
 * the cursor that they had.
 */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Client, type Raise, type Session, Transport } from "../../../client/index.ts"
import { Blobs } from "../../../blob/index.ts"
import type { Verdict } from "../../../domain/Entry.ts"
import type { Json } from "../../../domain/Json.ts"
import { Journal } from "../../../journal/index.ts"
import { Cluster, Membership, RunnerSettings, type RunnerSettingsValues } from "../../../runner/index.ts"
import { Alarms } from "../../../session/index.ts"
import { Store } from "../../../store/index.ts"
import { boot } from "./boot.ts"
import type { Database } from "./Database.ts"
import * as Fleet from "./Fleet.ts"
import type { Network } from "./Network.ts"
import type { Prng } from "./Prng.ts"
import { follow, type Reader } from "./reader.ts"
import { SimProcess, type Settings as ProcessSettings } from "./SimProcess.ts"
import { told } from "./told.ts"
import { wire } from "./wire.ts"
import type { Plan, Planned, PlannedSession } from "./Workload.ts"
import type { World } from "./World.ts"

type Api = Client.Client["Type"]

/** What a customer knows of a session, whatever process serves it. */
interface Known {
  readonly plan: PlannedSession
  created: boolean
  /** The commands that were answered, for good. */
  readonly answered: Set<string>
  readonly readers: Array<Reader>
}

/** Answers that say nothing of the command: it is sent again. */
const passing: ReadonlySet<string> = new Set(["RunnerUnreachable", "StoreUnavailable", "AgentUnknown"])

/** A customer who is refused because of a full mailbox or a busy session has an answer. */
export class Customers {
  readonly #known: ReadonlyArray<Known>
  readonly #random: Prng
  #lives = 0
  #process: SimProcess | null = null
  /** Everybody is patient and nobody goes away any more. */
  calm = false

  constructor(
    readonly world: World,
    readonly network: Network,
    readonly database: Database,
    readonly plan: Plan,
    readonly runner: Partial<RunnerSettingsValues>,
    readonly processes: ProcessSettings,
    readonly wraps: Fleet.Wraps
  ) {
    this.#random = world.random.fork("customers")
    this.#known = plan.sessions.map((plan) => ({
      plan,
      created: false,
      answered: new Set(),
      readers: Array.from({ length: plan.readers ?? 1 }, (_, n) => ({
        name: `reader-${plan.id}-${n + 1}`,
        cursor: null,
        ended: false
      }))
    }))
  }

  get process(): SimProcess | null {
    return this.#process
  }

  /** What they still wait for. */
  get waiting(): ReadonlyArray<string> {
    return this.#known.flatMap(({ answered, created, plan }) => [
      ...(created ? [] : [`the creation of ${plan.id}`]),
      ...plan.commands
        .filter(({ id }) => !answered.has(id))
        .map(({ id, kind }) => `an answer to ${kind} ${id} of ${plan.id}`)
    ])
  }

  /** Readers that have not seen the entry with the highest seq of their session. */
  behind(lastOf: (session: string) => number): ReadonlyArray<string> {
    return this.#known.flatMap(({ plan, readers }) =>
      readers
        .filter(({ cursor, ended }) => !ended && Number((cursor ?? "0").split("~")[0]) < lastOf(plan.id))
        .map(({ cursor, name }) => `${name}, at ${cursor}`)
    )
  }

  start(): void {
    if (this.#process !== null) return
    const process = new SimProcess(this.world, `client.${++this.#lives}`, this.processes)
    this.#process = process
    this.world.history.record({ _tag: "Life", process: process.name, what: "born" })
    const scope = Effect.runSync(Scope.make())
    process.fork(
      boot(this.#layer(process), scope).pipe(
        Effect.flatMap((context) => this.#serve(process, Context.get(context, Client.Client))),
        Effect.catchAllCause((cause) =>
          Effect.sync(() => {
            this.world.history.record({ _tag: "Told", process: process.name, what: `could not start: ${told(cause)}` })
            this.lose(1_000)
          })
        )
      )
    )
  }

  /** Ends the clients' process, with all their connections; it comes back. */
  lose(downMs: number): void {
    const process = this.#process
    if (process === null) return
    this.#process = null
    this.world.history.record({ _tag: "Life", process: process.name, what: "killed" })
    process.kill()
    this.network.died(process, false)
    this.world.after(downMs, () => this.start())
  }

  #layer(process: SimProcess): Layer.Layer<Client.Client> {
    const entropy = this.#random.fork(process.name)
    return Client.Client.layer.pipe(
      Layer.provide(Transport.layerCluster),
      Layer.provide(Cluster.layerClientOver(wire(this.network, process))),
      Layer.provide(Membership.layer),
      Layer.provide([Alarms.layer, Journal.layer, Blobs.layer]),
      Layer.provide(
        RunnerSettings.layer({
          ...Fleet.settings,
          entropy: (bytes) => Uint8Array.from({ length: bytes }, () => entropy.int(0, 255)),
          ...this.runner
        })
      ),
      Layer.provide(
        Layer.succeed(
          Store,
          this.database.connect(process, (store) => this.wraps.store?.(store, process.name) ?? store)
        )
      )
    )
  }

  #serve(process: SimProcess, api: Api): Effect.Effect<void> {
    return Effect.forEach(this.#known, (known) => this.#one(process, api, known), {
      concurrency: "unbounded",
      discard: true
    })
  }

  #one(process: SimProcess, api: Api, known: Known): Effect.Effect<void> {
    const { plan } = known
    const at = { client: process.name, session: `default/${plan.id}` }
    return Effect.gen(this, function* () {
      const create = this.#ask({ ...at, command: "create", kind: "Create" }, () =>
        Effect.as(api.session({ name: plan.agent, version: "1" }, plan.id), { seq: 1 })
      )
      yield* Effect.sleep(Math.max(0, (plan.commands[0]?.at ?? 0) - this.world.elapsed))
      yield* create
      known.created = true
      const session = yield* Effect.orDie(api.existing(plan.id))
      yield* Effect.forEach(
        known.readers,
        (reader) => Effect.fork(follow(this, at.session, session, reader, this.#random)),
        {
          discard: true
        }
      )
      yield* Effect.forEach(plan.commands, (command) => this.#command(at, session, known, command), {
        concurrency: "unbounded",
        discard: true
      })
      yield* Effect.never
    }).pipe(Effect.asVoid)
  }

  #command(
    at: { readonly client: string; readonly session: string },
    session: Session,
    known: Known,
    planned: Planned
  ): Effect.Effect<void> {
    const { id, kind, text, whenBusy } = planned
    const request = () => {
      switch (kind) {
        case "Send":
          return session.send(text ?? "", { id, ...(whenBusy === undefined ? {} : { whenBusy }) })
        case "Raise":
          return session.raise(JSON.parse(text ?? "{}") as Raise, { id })
        case "Settle": {
          const [step, verdict, result] = JSON.parse(text ?? "[]") as [string, Verdict, Json | undefined]
          return session.settle(step, verdict, { id, result })
        }
        case "Revive":
          return session.revive({ id })
        case "Discard":
          return session.discard({ id })
        default:
          return session.stop(kind === "Cancel" ? "cancel" : "interrupt", { id })
      }
    }
    const once = this.#ask(
      { ...at, command: id, kind, text: JSON.stringify([kind, text, whenBusy]) },
      (): Effect.Effect<{ readonly seq: number }, { readonly _tag: string; readonly message: string }> => request()
    )
    return Effect.gen(this, function* () {
      yield* Effect.sleep(Math.max(0, planned.at - this.world.elapsed))
      if (known.answered.has(id)) return
      // The impatient ask twice at once.
      yield* this.#random.chance(0.1) ? Effect.all([once, once], { concurrency: 2, discard: true }) : once
      known.answered.add(id)
      if (!this.#random.chance(0.15)) return
      yield* Effect.sleep(this.#random.skewed(1, 5_000))
      yield* once
    })
  }

  /** Asks until there is an answer. */
  #ask(
    what: {
      readonly client: string
      readonly session: string
      readonly command: string
      readonly kind: "Create" | Planned["kind"]
      readonly text?: string | undefined
    },
    request: () => Effect.Effect<{ readonly seq: number }, { readonly _tag: string; readonly message: string }>
  ): Effect.Effect<void> {
    const { client, command, session } = what
    const { history } = this.world
    return Effect.suspend(() => {
      history.record({ _tag: "Sent", ...what })
      return Effect.exit(request())
    }).pipe(
      Effect.flatMap((exit) => {
        if (Exit.isSuccess(exit)) {
          history.record({ _tag: "Acked", client, session, command, seq: exit.value.seq })
          return Effect.void
        }
        const error = exit.cause._tag === "Fail" ? exit.cause.error : { _tag: "Defect", message: told(exit.cause) }
        history.record({ _tag: "Refused", client, session, command, error: error._tag, message: error.message })
        if (!passing.has(error._tag)) return Effect.void
        return Effect.zipRight(Effect.sleep(this.#random.skewed(100, 1_000)), this.#ask(what, request))
      })
    )
  }
}
