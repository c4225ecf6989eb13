/** All that was seen, by whomever, as one history for the simulator's checks. */
import { Effect } from "effect"
import { SessionKey } from "../../src/domain/Id.ts"
import { Journal } from "../../src/journal/index.ts"
import { Store } from "../../src/store/index.ts"
import { Stream } from "effect"
import type { AppendedRow, Finished, Happened } from "../../src/testing/internal/sim/History.ts"
import { limits, natures } from "./agent.ts"
import type { CommittedRow, Database, Taken } from "./Database.ts"

/** Which transactions wrote what: Postgres says when each of them committed. */
const appendsOf = (
  rows: ReadonlyArray<CommittedRow>,
  steps: ReadonlyMap<string, string>,
  ownerOf: (shard: string, epoch: number) => string
): ReadonlyArray<Happened> => {
  const groups = new Map<string, Array<CommittedRow>>()
  for (const row of rows) {
    const name = `${row.tx} ${row.session}`
    const group = groups.get(name) ?? []
    groups.set(name, group)
    group.push(row)
  }
  let call = 0
  return [...groups.values()].map((group): Happened => {
    const { at, epoch, session, shard } = group[0]!
    return {
      _tag: "Appended",
      at,
      process: ownerOf(shard, epoch),
      call: call++,
      session,
      shard,
      epoch,
      rows: group.map(
        ({ command, seq, tag }): AppendedRow => ({ seq, tag, command, step: steps.get(`${session} ${seq}`) })
      ),
      timersSet: [],
      timersCleared: [],
      written: "written"
    }
  })
}

const acquisitionsOf = (taken: ReadonlyArray<Taken>, nameOf: (address: string) => string): ReadonlyArray<Happened> =>
  taken.map(({ address, at, epoch, shard }) => ({ _tag: "Acquired", at, process: nameOf(address), shard, epoch }))

export const gather = (options: {
  readonly database: Database
  /** Of clients, tools, the provider and the orchestrator. */
  readonly events: ReadonlyArray<Happened>
  /** The processes by their addresses. */
  readonly runners: ReadonlyMap<string, string>
  readonly processes: ReadonlyArray<number>
  readonly stuck: string | null
}): Effect.Effect<Finished, unknown, Store | Journal> =>
  Effect.gen(function* () {
    const { database, events, processes, runners, stuck } = options
    const store = yield* Store
    const journal = yield* Journal
    const sessions = yield* store.sessions({ limit: 100_000 })
    const keys = sessions.map(({ namespace, session }) => SessionKey.make({ namespace, session }))
    const journals = new Map(
      yield* Effect.forEach(keys, (key) =>
        Effect.map(Stream.runCollect(journal.read(key, 0)), (all) => [String(key), [...all]] as const)
      )
    )
    const verified = new Map(
      yield* Effect.forEach(keys, (key) => Effect.map(journal.verify(key), (found) => [String(key), found] as const))
    )
    const steps = new Map<string, string>()
    for (const [key, entries] of journals) {
      for (const { entry, seq } of entries) if ("step" in entry) steps.set(`${key} ${seq}`, entry.step)
    }
    const taken = yield* database.taken
    const nameOf = (address: string) => runners.get(address) ?? `somebody at ${address}`
    const owners = new Map(taken.map(({ address, epoch, shard }) => [`${shard} ${epoch}`, nameOf(address)]))
    const rows = yield* database.commits
    const all = [
      ...acquisitionsOf(taken, nameOf),
      ...appendsOf(rows, steps, (shard, epoch) => owners.get(`${shard} ${epoch}`) ?? "nobody"),
      ...events
    ]
    return {
      events: all.sort((a, b) => a.at - b.at),
      final: {
        at: Date.now(),
        journals,
        verified,
        sessions,
        timers: yield* database.timers,
        processes,
        stuck
      },
      limits: { worker: limits },
      tools: natures,
      canaries: []
    }
  })
