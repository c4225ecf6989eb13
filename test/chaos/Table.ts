/** What a run was, in figures. */
import type { Entry } from "../../src/domain/Entry.ts"
import { type Finished, of } from "../../src/testing/internal/sim/History.ts"
import type { Injected } from "./run.ts"

interface Recovery {
  readonly ms: number
  readonly session: string
  readonly from: string
  readonly to: string
  readonly since: number
}

const endsTurn = new Set(["TurnEnded", "SessionEnded"])

/**
 * For each runner that was killed, stopped or sent away, and each session that it was at work for: how long until its next
 * commit, in milliseconds. What the session itself waits for (a tool, a provider that fails) is in it.
 */
const recoveries = ({ events }: Finished): ReadonlyArray<Recovery> => {
  const last = new Map<string, { readonly process: string; readonly isOpen: boolean }>()
  const waiting = new Map<string, number>()
  const took: Array<Recovery> = []
  for (const event of events) {
    if (event._tag === "Life" && ["killed", "stopped", "leaving", "lost"].includes(event.what)) {
      for (const [session, { isOpen, process }] of last) {
        if (isOpen && process === event.process && !waiting.has(session)) waiting.set(session, event.at)
      }
    }
    if (event._tag !== "Appended") continue
    const since = waiting.get(event.session)
    // What it had sent before it died may be committed a moment later.
    if (since !== undefined && (event.process !== last.get(event.session)?.process || event.at - since > 100)) {
      const from = last.get(event.session)?.process ?? ""
      took.push({ ms: event.at - since, session: event.session, from, to: event.process, since })
      waiting.delete(event.session)
    }
    const tag = event.rows.at(-1)!.tag
    last.set(event.session, { process: event.process, isOpen: !endsTurn.has(tag) })
  }
  return took.sort((a, b) => a.ms - b.ms)
}

const quantile = (sorted: ReadonlyArray<number>, q: number): string =>
  sorted.length === 0 ? "-" : `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!)} ms`

export const table = (
  finished: Finished,
  run: {
    readonly seed: string
    readonly injected: ReadonlyArray<Injected>
    readonly calmMs: number
    readonly lostAcks: number
    readonly lives: number
    readonly children: number
  }
): string => {
  const entries = [...finished.final.journals.values()].flat().map(({ entry }) => entry)
  const count = (tag: Entry["_tag"]) => entries.filter(({ _tag }) => _tag === tag).length
  const events = (tag: Parameters<typeof of>[1]) => of(finished.events, tag).length
  const kinds = new Map<string, number>()
  for (const { fault, what } of run.injected) {
    if (what !== null) kinds.set(fault._tag, (kinds.get(fault._tag) ?? 0) + 1)
  }
  const total = [...kinds.values()].reduce((sum, n) => sum + n, 0)
  const recovered = recoveries(finished)
  const times = recovered.map(({ ms }) => ms)
  const begin = finished.events.find(({ _tag }) => _tag === "Sent")?.at ?? 0
  const said = (what: string) => of(finished.events, "Life").filter((event) => event.what === what).length
  const acked = of(finished.events, "Acked")
  const again = acked.length - new Set(acked.map(({ command, session }) => `${session} ${command}`)).size
  const rows: ReadonlyArray<readonly [string, string | number]> = [
    ["seed", run.seed],
    ["faults", `${total} of ${kinds.size} kinds`],
    ...[...kinds].sort(([a], [b]) => a.localeCompare(b)).map(([kind, n]) => [`  ${kind}`, n] as const),
    ["processes of runners and clients", `${run.lives} lives: ${said("killed")} killed, ${said("left")} left`],
    ["  taken for dead, ended themselves", said("lost")],
    ["shards taken", events("Acquired")],
    ["sessions", finished.final.journals.size],
    ["commands acknowledged", `${acked.length}, ${again} of them again`],
    ["turns", count("TurnEnded")],
    ["steps", count("StepIntended")],
    ["journal entries", entries.length],
    ["attempts begun, after a failed or lost one", `${events("Began")}, ${count("AttemptFailed")}`],
    ["effects of tools", events("Effect")],
    ["in doubt", count("StepInDoubt")],
    ["provider asked", events("Asked")],
    ["acknowledgements of commits lost", run.lostAcks],
    ["processes of tools seen", run.children],
    ["readers' events", events("Read")],
    ["  takes up from a cursor", of(finished.events, "Follow").filter(({ cursor }) => cursor !== null).length],
    ["  rewinds", of(finished.events, "Read").filter(({ event }) => event._tag === "Rewind").length],
    [
      "next commit of a session whose runner was lost",
      `p50 ${quantile(times, 0.5)}, p95 ${quantile(times, 0.95)}, worst ${quantile(times, 1)} of ${times.length}`
    ],
    ...recovered
      .slice(-3)
      .reverse()
      .map(
        ({ from, ms, session, since, to }) =>
          [
            `  ${session}, from ${from} to ${to}`,
            `${Math.round(ms)} ms, since ${((since - begin) / 1000).toFixed(1)} s`
          ] as const
      ),
    ["all at rest after the last fault", `${Math.round(run.calmMs)} ms`]
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n")
}
