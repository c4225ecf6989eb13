/** What a waking session reads: the snapshot of its own code and what came after, or all there is. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Ref } from "effect"
import { AgentName } from "../../src/domain/Id.ts"
import { Journal } from "../../src/journal/index.ts"
import { type Behaviour, Registry } from "../../src/session/index.ts"
import { fingerprint, load } from "../../src/session/internal/load.ts"
import { Sqlite } from "../../src/store/index.ts"
import { created, lease, noted, withFaults, writer } from "../support/journal.ts"

/** Its state is how many entries it has followed. */
const counter = (stateVersion: number) =>
  ({
    agent: AgentName.make("test"),
    stateVersion,
    initial: 0,
    evolve: (count: number) => count + 1
  }) as unknown as Behaviour<number> as Behaviour

const knowing = (stateVersion: number) =>
  Registry.layer([{ behaviour: counter(stateVersion), context: Context.empty() }])

const live = withFaults(Sqlite.layerMemory)

/** A session of so many entries, and a snapshot after some that says it has followed a thousand. */
const session = (entries: number, folded: number, stateVersion = 1) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const [epoch] = yield* lease()
    const w = yield* writer("s", epoch!)
    yield* w.append(created, ...Array.from({ length: folded - 1 }, (_, n) => noted(n)))
    const head = yield* Ref.get(w.head)
    const { state } = (yield* Effect.provide(load(w.key), knowing(1)))!
    const told = { ...state, behaviour: 1_000 }
    const of = fingerprint(counter(stateVersion))
    yield* journal.saveSnapshot(w.key, { head, fingerprint: of, state: Buffer.from(JSON.stringify(told)) })
    if (entries > folded) yield* w.append(...Array.from({ length: entries - folded }, (_, n) => noted(n)))
    const loaded = (yield* Effect.provide(load(w.key), knowing(1)))!
    expect(loaded.head).toEqual(yield* Ref.get(w.head))
    expect(loaded.state.seq).toBe(entries)
    return { count: loaded.state.behaviour, since: loaded.entriesSince, bytes: loaded.snapshotBytes }
  }).pipe(Effect.provide(live))

describe("a waking session", () => {
  it.live("goes on from its snapshot, whether or not anything came after", () =>
    Effect.gen(function* () {
      expect(yield* session(5, 3)).toMatchObject({ count: 1_002, since: 2 })
      expect(yield* session(3, 3)).toMatchObject({ count: 1_000, since: 0 })
      expect(yield* session(3, 1)).toMatchObject({ count: 1_002, since: 2 })
    })
  )

  it.live("follows all that came after, however many pages that are", () =>
    Effect.gen(function* () {
      expect(yield* session(603, 3)).toMatchObject({ count: 1_600, since: 600 })
      expect(yield* session(259, 3)).toMatchObject({ count: 1_256, since: 256 })
    })
  )

  it.live("takes no snapshot of another version of its state: its journal is followed from the beginning", () =>
    Effect.gen(function* () {
      expect(yield* session(5, 3, 2)).toEqual({ count: 5, since: 5, bytes: 0 })
      expect(yield* session(603, 3, 2)).toEqual({ count: 603, since: 603, bytes: 0 })
    })
  )

  it.live("that nobody has created is none", () =>
    Effect.gen(function* () {
      const [epoch] = yield* lease()
      const w = yield* writer("nobody", epoch!)
      expect(yield* Effect.provide(load(w.key), knowing(1))).toBeNull()
    }).pipe(Effect.provide(Layer.fresh(live)))
  )
})
