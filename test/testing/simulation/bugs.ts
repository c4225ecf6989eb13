/**
 * Planted bugs, around the real runtime: what the simulator must find, so that its silence means something.
 *
 * Each is what a real implementation gets wrong, put between the runtime and its store, its behaviours or the operating
 * system. Calls of a store happen at one instant here, which is their commit: what a bug does late, it does at the next
 * call of the same process, and never if that has died.
 */
import { Effect, Fiber, Scope } from "effect"
import { zero } from "../../../src/domain/Usage.ts"
import type { Behaviour } from "../../../src/session/index.ts"
import type { Group, Snapshot, Store, StoredRow } from "../../../src/store/index.ts"
import type { Invariant } from "../../../src/testing/internal/sim/checks/index.ts"
import type { Wraps } from "../../../src/testing/internal/sim/Fleet.ts"
import type { Simulation } from "../../../src/testing/index.ts"
import { features } from "../../simulation/features.ts"

type Service = Store["Type"]

export interface Bug {
  readonly name: string
  /** What it breaks: one of them has to be found. */
  readonly breaks: ReadonlyArray<Invariant>
  /** Made anew for each run. */
  readonly wraps: () => Wraps
  /** Where it is looked for, if not anywhere. */
  readonly where?: Pick<Simulation.Options<never, never, never, never>, "runner" | "sessions" | "workload"> | undefined
  /** What goes wrong in the n-th run, where that is not drawn. */
  readonly faults?: ((n: number) => ReadonlyArray<Simulation.Fault>) | undefined
}

/** Each of three runners once. */
const each = (one: (runner: number) => Simulation.Fault) => [1, 2, 3].map(one)

const kills = (n: number) =>
  each((runner) => {
    const at = 2_000 + ((n * 397 + runner * 1_327) % 4_000)
    return { _tag: "Kill", at, runner, downMs: 500, silently: false, moved: false }
  })

/** All have a clock that is ahead, and then one that is not. */
const ahead = (n: number): ReadonlyArray<Simulation.Fault> => [
  ...each((runner) => ({ _tag: "Jump", at: 10, runner, ms: 12_000 })),
  ...each((runner) => ({ _tag: "Kill", at: 2_500 + n * 150, runner, downMs: 500, silently: false, moved: false }))
]

/** Runners that are stopped for longer than others wait, while many ask them. */
const stops = (n: number) =>
  each((runner) => ({ _tag: "Stop", at: runner * 3_000 + ((n * 397) % 2_000), runner, ms: 2_500 }))

/** Many sessions that rest most of the time, and are asked now and then. */
const sparse: Simulation.Workload = () => ({
  sessions: Array.from({ length: 12 }, (_, n) => ({
    id: `s${n + 1}`,
    agent: "busy",
    readers: 0,
    commands: Array.from({ length: 3 }, (_, i) => ({
      id: `c${i}`,
      at: 1_500 + i * 3_000 + n * 237,
      kind: "Send" as const,
      text: "[]"
    }))
  }))
})

const impatient = { heartbeat: "300 millis", heartbeatExpiry: "1 second", refresh: "300 millis" } as const

/** Clients that send and go: nobody wakes a session by asking for it. */
const alone =
  (agent: string, script: string): Simulation.Workload =>
  () => ({
    sessions: Array.from({ length: 4 }, (_, n) => ({
      id: `s${n + 1}`,
      agent,
      readers: 0,
      commands: [{ id: "c", at: 1_500 + n * 500, kind: "Send" as const, text: script }]
    }))
  })

/** What whoever does not wait for a child says of it. */
const forgotten = {
  outcome: { _tag: "Cancelled", reason: "nobody waited for it" },
  usage: zero,
  drawn: { steps: 0, modelCalls: 0, toolCalls: 0 },
  stopped: false
} as const

/** Does something before each call of a store. */
const before = (store: Service, act: () => Effect.Effect<unknown, unknown>): Service =>
  Object.fromEntries(
    Object.entries(store).map(([name, member]) => [
      name,
      typeof member === "function"
        ? (...args: ReadonlyArray<unknown>) =>
            Effect.zipRight(
              act(),
              (member as unknown as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown>)(...args)
            )
        : member
    ])
  ) as unknown as Service

/** The newest epoch of each shard, whoever has it. */
const ignoringEpochs = (): Wraps => {
  const epochs = new Map<string, Group["epoch"]>()
  return {
    store: (store) => ({
      ...store,
      acquire: (...args) =>
        Effect.tap(store.acquire(...args), (leases) => {
          for (const { epoch, shard } of leases) epochs.set(shard, epoch)
        }),
      append: (groups) =>
        store.append(groups.map((group) => ({ ...group, epoch: epochs.get(group.shard) ?? group.epoch })))
    })
  }
}

/** What a row says to those who read it. */
const reading = (store: Service, change: (row: StoredRow) => StoredRow): Pick<Service, "read" | "waking"> => ({
  read: (...args) => Effect.map(store.read(...args), (rows) => rows.map(change)),
  waking: (...args) => Effect.map(store.waking(...args), (found) => ({ ...found, rows: found.rows.map(change) }))
})

const idOf = (row: StoredRow): StoredRow => {
  if (row.tag !== "CommandAccepted") return row
  const { entry } = JSON.parse(new TextDecoder().decode(row.payload)) as { readonly entry: { readonly id: string } }
  return { ...row, command: entry.id as StoredRow["command"] }
}

/** Whoever reads a journal takes each wait for over. */
const forgettingWaits = (): Wraps => {
  const soon = (row: StoredRow): StoredRow => {
    if (row.tag !== "AttemptFailed") return row
    const { entry, ...rest } = JSON.parse(new TextDecoder().decode(row.payload)) as { readonly entry: object }
    return { ...row, payload: new TextEncoder().encode(JSON.stringify({ ...rest, entry: { ...entry, retryAt: 1 } })) }
  }
  return {
    store: (store) => ({ ...store, ...reading(store, soon) })
  }
}

const forgettingCommands = (): Wraps => ({
  store: (store) => ({
    ...store,
    append: (groups) =>
      store.append(groups.map((group) => ({ ...group, rows: group.rows.map((row) => ({ ...row, command: null })) }))),
    accepted: () => Effect.succeed(null),
    ...reading(store, idOf)
  })
})

/** A snapshot holds what was true at the one before. */
const lagging = (): Wraps => {
  const last = new Map<string, Snapshot["state"]>()
  return {
    store: (store) => ({
      ...store,
      saveSnapshot: (namespace, session, snapshot) => {
        const key = `${namespace}/${session}`
        const state = last.get(key) ?? snapshot.state
        last.set(key, snapshot.state)
        return store.saveSnapshot(namespace, session, { ...snapshot, state })
      }
    })
  }
}

/** Says that it is on disk, and puts it there at the next call. */
const writingLate = (areReadable: boolean) => (): Wraps => {
  const waiting = new Map<string, ReadonlyArray<Group>>()
  const unwritten = (namespace: string, session: string): ReadonlyArray<StoredRow> =>
    [...waiting.values()].flatMap((groups) =>
      groups.flatMap((group) =>
        group.namespace === namespace && group.session === session
          ? group.rows.map((row) => ({ ...row, epoch: group.epoch }))
          : []
      )
    )
  const following = (namespace: string, session: string, last: number): ReadonlyArray<StoredRow> =>
    areReadable ? unwritten(namespace, session).filter(({ seq }) => seq > last) : []
  return {
    store: (store, process) => {
      const write = () => {
        const groups = waiting.get(process) ?? []
        waiting.delete(process)
        return groups.length === 0 ? Effect.void : store.append(groups)
      }
      return before(
        {
          ...store,
          append: (groups) =>
            Effect.sync(() => {
              waiting.set(process, groups)
              return groups.map(() => "written" as const)
            }),
          read: (namespace, session, after, limit) =>
            Effect.map(store.read(namespace, session, after, limit), (rows) =>
              [...rows, ...following(namespace, session, rows[rows.length - 1]?.seq ?? after)].slice(0, limit)
            ),
          waking: (namespace, session, limit) =>
            Effect.map(store.waking(namespace, session, limit), ({ rows, snapshot }) => {
              const last = Math.max(snapshot?.seq ?? 0, rows[rows.length - 1]?.seq ?? 0)
              return { snapshot, rows: [...rows, ...following(namespace, session, last)] }
            })
        },
        write
      )
    }
  }
}

/** Writes the first row of a group, and the others, with all that belongs to them, at the next call. */
const tearing = (): Wraps => {
  const waiting = new Map<string, ReadonlyArray<Group>>()
  return {
    store: (store, process) => {
      const write = () => {
        const groups = waiting.get(process) ?? []
        waiting.delete(process)
        return groups.length === 0 ? Effect.void : store.append(groups)
      }
      return before(
        {
          ...store,
          append: (groups) => {
            const [first, ...others] = groups
            if (first === undefined || first.rows.length < 2) return store.append(groups)
            const { blobs: _b, info: _i, timersCleared: _c, timersSet: _s, ...bare } = first
            return Effect.map(store.append([{ ...bare, rows: first.rows.slice(0, 1) }, ...others]), (written) => {
              if (written[0] === "written") waiting.set(process, [{ ...first, rows: first.rows.slice(1) }])
              return written
            })
          }
        },
        write
      )
    }
  }
}

const losingRows = (): Wraps => {
  let calls = 0
  return {
    store: (store) => ({
      ...store,
      append: (groups) =>
        store.append(
          groups.map((group) =>
            group.rows.length > 2 && ++calls % 5 === 0 ? { ...group, rows: group.rows.slice(0, -1) } : group
          )
        )
    })
  }
}

/** A row in which nobody has asked anybody. */
const withoutDecision = (row: StoredRow): StoredRow => {
  if (row.tag !== "AttemptFailed") return row
  const { entry, ...rest } = JSON.parse(new TextDecoder().decode(row.payload)) as { readonly entry: object }
  const { decided: _, ...left } = entry as { readonly decided?: unknown }
  return { ...row, payload: new TextEncoder().encode(JSON.stringify({ ...rest, entry: left })) }
}

/** A row that does not say that an attempt has begun, nor when that was. */
const withoutBeginning = (row: StoredRow): StoredRow => {
  if (row.tag !== "StepProgress") return row
  const { entry, ...rest } = JSON.parse(new TextDecoder().decode(row.payload)) as { readonly entry: object }
  if ("partial" in entry) return row
  const noted = { _tag: "Noted", kind: "planted", detail: null }
  return { ...row, tag: "Noted", at: 0, payload: new TextEncoder().encode(JSON.stringify({ ...rest, entry: noted })) }
}

const behaving = (change: (behaviour: Behaviour) => Partial<Behaviour>) => (): Wraps => ({
  behaviour: (behaviour) => ({ ...behaviour, ...change(behaviour) })
})

/** Changes how a runner performs what another one asks of it. */
const ofErrands = (change: (run: ReturnType<Behaviour["perform"]>) => ReturnType<Behaviour["perform"]>) =>
  behaving(({ perform }) => ({
    perform: (step, state, context) => {
      const run = perform(step, state, context)
      return context.askedUnder === undefined ? run : change(run)
    }
  }))

export const bugs: ReadonlyArray<Bug> = [
  {
    name: "a snapshot is older than it says",
    breaks: ["I2", "I4", "I5", "I13", "liveness"],
    where: { sessions: { snapshotEntries: 3 } },
    faults: kills,
    wraps: lagging
  },
  {
    name: "an epoch is not looked at",
    breaks: ["I3"],
    wraps: ignoringEpochs,
    where: { runner: impatient, workload: sparse },
    faults: stops
  },
  { name: "command ids are not kept", breaks: ["I1"], wraps: forgettingCommands },
  { name: "a command is acknowledged before its commit", breaks: ["I1"], wraps: writingLate(false) },
  { name: "output reaches the feed before its commit", breaks: ["I6"], wraps: writingLate(true) },
  {
    name: "live text is told twice",
    breaks: ["I6"],
    wraps: behaving(({ perform }) => ({
      perform: (step, state, context) =>
        perform(step, state, {
          ...context,
          emit: (channel, text) => Effect.zipRight(context.emit(channel, text), context.emit(channel, text))
        })
    }))
  },
  { name: "a group is written in part", breaks: ["I4", "I2"], wraps: tearing },
  { name: "a row of a group is lost", breaks: ["I4"], wraps: losingRows },
  {
    name: "timers are not loaded with their shard",
    breaks: ["liveness"],
    wraps: () => ({ store: (store) => ({ ...store, timers: () => Effect.succeed([]) }) }),
    where: { workload: alone("busy", '[["hang"]]') },
    faults: kills
  },
  {
    name: "unfinished sessions are not woken with their shard",
    breaks: ["liveness"],
    wraps: () => ({ store: (store) => ({ ...store, unfinished: () => Effect.succeed([]) }) }),
    where: { workload: alone("patient", '[["slow"],["slow"]]') },
    faults: kills
  },
  {
    name: "how long a retry waits is forgotten with its runner",
    breaks: ["I9"],
    wraps: forgettingWaits,
    where: { workload: alone("patient", '[["look"],["look"],["look"],["look"],["look"]]') },
    faults: kills
  },
  {
    name: "a step in doubt is run again",
    breaks: ["I5"],
    wraps: behaving(({ decide }) => ({
      decide: (state, session) =>
        decide(state, session).map((action) =>
          action._tag === "Step" ? { ...action, repeatable: "idempotent" as const } : action
        )
    }))
  },
  {
    name: "a tool that failed is run again, whatever it is",
    breaks: ["I5"],
    wraps: behaving(({ policy }) => ({
      policy: (attempted) =>
        attempted.kind === "tool" && attempted.attempt < 3
          ? { _tag: "Retry", delayMs: 10, nextInput: "original", policy: "planted", rule: "always" }
          : policy(attempted)
    }))
  },
  {
    name: "the idempotency key is the attempt's",
    breaks: ["I5"],
    wraps: behaving(({ perform }) => ({
      perform: (step, state, context) =>
        perform(step, state, { ...context, idempotencyKey: `${context.idempotencyKey}.${context.attempt}` })
    }))
  },
  {
    name: "the budget is not looked at",
    breaks: ["I8"],
    wraps: behaving(({ limits }) => ({
      limits: { ...limits, steps: Number.POSITIVE_INFINITY, modelCalls: 1e9, toolCalls: 1e9, tokens: 1e9, usd: 1e9 }
    }))
  },
  {
    name: "what a child has used is not told to its parent",
    breaks: ["I8"],
    wraps: behaving(({ perform }) => ({
      perform: (step, state, context) =>
        Effect.map(perform(step, state, context), (output) =>
          step.reserved === undefined
            ? output
            : { ...output, usage: zero, drawn: { steps: 0, modelCalls: 0, toolCalls: 0 } }
        )
    })),
    where: { workload: alone("boss", '[["clerk","clerk"],["clerk","clerk"],["clerk"]]') }
  },
  {
    name: "a child outlives the step that it works for",
    breaks: ["I10"],
    wraps: behaving(({ perform }) => ({
      perform: (step, state, context) =>
        perform(step, state, {
          ...context,
          child: (task) => Effect.raceFirst(context.child!(task), Effect.delay(Effect.succeed(forgotten), "1 second"))
        })
    })),
    where: { workload: alone("boss", '[["clerk","clerk"]]') },
    faults: () => []
  },
  {
    name: "what was in doubt is run again before it is asked what became of it",
    breaks: ["I5"],
    wraps: behaving(({ perform }) => ({
      perform: (step, state, context) =>
        perform(step.nextInput === "reconcile" ? { ...step, nextInput: "original" } : step, state, context)
    })),
    where: { workload: features.reconcile },
    faults: kills
  },
  {
    name: "nobody is asked what became of it, and it is run again",
    breaks: ["I5"],
    wraps: behaving(({ perform }) => ({
      perform: (step, state, context) =>
        step.nextInput === "reconcile"
          ? Effect.succeed({ output: null, reconciled: "did not happen" as const })
          : perform(step, state, context)
    })),
    where: { workload: features.reconcile },
    faults: kills
  },
  {
    name: "what ends its runner each time is parked too late",
    breaks: ["I13"],
    wraps: behaving(({ policy }) => ({
      policy: (attempted) => {
        const decision = policy(attempted)
        return decision._tag === "Ask" && attempted.attempt < 13 ? { ...decision, _tag: "Retry", delayMs: 0 } : decision
      }
    })),
    where: { workload: features.poison },
    faults: () => []
  },
  {
    name: "what is parked is forgotten by the next runner",
    breaks: ["I2", "I13"],
    wraps: () => ({ store: (store) => ({ ...store, ...reading(store, withoutDecision) }) }),
    where: { workload: features.poison },
    faults: () => each((runner) => ({ _tag: "Kill", at: 80_000, runner, downMs: 500, silently: false, moved: false }))
  },
  {
    name: "nobody knows that an attempt has begun by a clock that was ahead",
    breaks: ["I5"],
    wraps: () => ({ store: (store) => ({ ...store, ...reading(store, withoutBeginning) }) }),
    where: { workload: alone("busy", '[["ring"]]') },
    faults: ahead
  },
  {
    name: "what was asked of another runner is run twice there",
    breaks: ["I2", "I5"],
    wraps: ofErrands((run) => Effect.zipRight(run, run)),
    where: { workload: features.away },
    faults: () => []
  },
  {
    name: "another runner goes on with what was interrupted",
    breaks: ["I7"],
    wraps: ofErrands((run) => Effect.flatMap(Effect.forkDaemon(run), Fiber.join)),
    where: { workload: features.away },
    faults: () => []
  },
  {
    name: "an OS process is not ended with its step",
    breaks: ["I7"],
    wraps: () => ({
      processes: (processes) => ({
        ...processes,
        start: (spawn) => Effect.flatMap(Scope.make(), (scope) => Scope.extend(processes.start(spawn), scope)),
        run: () => Effect.dieMessage("simulated tools start processes")
      })
    })
  }
]
