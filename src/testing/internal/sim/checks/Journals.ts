/** I3 and I4: one writer a session, no gap, nothing changed, nothing lost that was committed. */
import { type Check, placed, type SessionFacts, type Violation } from "./Facts.ts"

const i3 = (session: string, what: string): Violation => ({ invariant: "I3", session, what })
const i4 = (session: string, what: string): Violation => ({ invariant: "I4", session, what })

/** Each written group came from the process that held its shard, under the newest epoch of that moment. */
const fenced: Check = (facts) => {
  const newest = new Map<string, { readonly epoch: number; readonly process: string }>()
  return facts.events.flatMap((event) => {
    if (event._tag === "Acquired") {
      newest.set(event.shard, { epoch: event.epoch, process: event.process })
      return []
    }
    if (event._tag !== "Appended" || event.written !== "written") return []
    const owner = newest.get(event.shard)
    const seqs = event.rows.map(({ seq }) => seq).join()
    if (owner === undefined) return [i3(event.session, `${event.process} wrote ${seqs} to a shard that nobody owned`)]
    if (owner.epoch !== event.epoch) {
      return [
        i3(event.session, `${event.process} wrote ${seqs} under epoch ${event.epoch}, when ${owner.epoch} was current`)
      ]
    }
    return owner.process === event.process
      ? []
      : [i3(event.session, `${event.process} wrote ${seqs} to the shard of ${owner.process}`)]
  })
}

const contiguous = ({ entries, key }: SessionFacts): ReadonlyArray<Violation> => {
  const at = entries.findIndex(({ seq }, i) => seq !== i + 1)
  return at < 0 ? [] : [i4(key, `entry ${entries[at]!.seq} stands where ${at + 1} should`)]
}

const epochsGrow = ({ entries, key }: SessionFacts): ReadonlyArray<Violation> =>
  entries.flatMap(({ epoch, seq }, i) =>
    i > 0 && entries[i - 1]!.epoch > epoch
      ? [i3(key, `entry ${seq} has epoch ${epoch}, after an entry of epoch ${entries[i - 1]!.epoch}`)]
      : []
  )

const asCommitted = ({ commits, entries, key }: SessionFacts): ReadonlyArray<Violation> => {
  const there = new Map(entries.map((recorded) => [recorded.seq as number, recorded]))
  const lost = [...commits].flatMap(([seq, { epoch, tag }]) => {
    const recorded = there.get(seq)
    if (recorded === undefined) return [i4(key, `entry ${seq} was committed and is gone`)]
    return recorded.entry._tag === tag && recorded.epoch === epoch
      ? []
      : [i4(key, `entry ${seq} was committed as ${tag} and is ${recorded.entry._tag}`)]
  })
  const foreign = entries.flatMap(({ seq }) => (commits.has(seq) ? [] : [i4(key, `nobody committed entry ${seq}`)]))
  return [...lost, ...foreign]
}

const writtenOnce: Check = (facts) => {
  const seen = new Set<string>()
  return placed(facts, "Appended").flatMap(({ event: { rows, session, written } }) =>
    written !== "written"
      ? []
      : rows.flatMap(({ seq }) => {
          const name = `${session} ${seq}`
          if (seen.has(name)) return [i4(session, `entry ${seq} was written twice`)]
          seen.add(name)
          return []
        })
  )
}

const verified: Check = ({ finished }) =>
  [...finished.final.verified].flatMap(([key, { problems }]) =>
    problems.map(({ problem, seq }) => i4(key, `the chain is broken at ${seq}: ${problem}`))
  )

export const check: Check = (facts) => [
  ...fenced(facts),
  ...[...facts.sessions.values()].flatMap((session) => [
    ...contiguous(session),
    ...epochsGrow(session),
    ...asCommitted(session)
  ]),
  ...writtenOnce(facts),
  ...verified(facts)
]
