/** I8: no turn and no session outruns what it may use by more than the calls at work, with all its children counted. */
import type { Amounts, Drawn, Recorded } from "../../../../domain/Entry.ts"
import * as Usage from "../../../../domain/Usage.ts"
import type { Limits } from "../../../../session/index.ts"
import { type Check, type Facts, isOutcome, placed, type SessionFacts, stepOf, type Violation } from "./Facts.ts"

const i8 = (session: string, what: string): Violation => ({ invariant: "I8", session, what })

const usageOf = ({ entry }: Recorded): Usage.Usage =>
  (entry._tag === "StepSucceeded" || entry._tag === "StepFailed" || entry._tag === "AttemptFailed"
    ? entry.usage
    : undefined) ?? Usage.zero

const names = ["steps", "modelCalls", "toolCalls", "tokens", "usd"] as const
type Counts = Readonly<Record<(typeof names)[number], number>>

const none: Counts = { steps: 0, modelCalls: 0, toolCalls: 0, tokens: 0, usd: 0 }

const plus = (a: Counts, b: Amounts | Counts): Counts => ({
  steps: a.steps + (b.steps ?? 0),
  modelCalls: a.modelCalls + (b.modelCalls ?? 0),
  toolCalls: a.toolCalls + (b.toolCalls ?? 0),
  tokens: a.tokens + (b.tokens ?? 0),
  usd: a.usd + (b.usd ?? 0)
})

const ofUsage = (usage: Usage.Usage, drawn?: Drawn): Counts =>
  plus({ ...none, tokens: Usage.totalTokens(usage), usd: usage.usd ?? 0 }, drawn ?? none)

/** What an entry allows beyond the limits. */
const raisedBy = ({ entry }: Recorded): Amounts => {
  if (entry._tag === "CommandAccepted" && entry.command._tag === "Raise") return entry.command.by
  return (entry._tag === "Resumed" ? entry.raised : undefined) ?? {}
}

/** Whether a step may not begin: counts may be reached, what is only known afterwards must not have been. */
const isOver = (name: (typeof names)[number], used: number, allowed: number): boolean =>
  name === "tokens" || name === "usd" ? used >= allowed : used > allowed

/** No step is intended when the account has used up what it may; what is set aside for open children is used. */
const account = (
  { entries, key }: SessionFacts,
  what: string,
  limits: Readonly<Record<(typeof names)[number], number>>,
  { each, raises }: { readonly each: boolean; readonly raises: boolean }
): ReadonlyArray<Violation> => {
  let used = none
  let allowed = plus(none, limits)
  const reserved = new Map<string, Amounts>()
  return entries.flatMap((recorded) => {
    const { entry, seq } = recorded
    if (each && entry._tag === "TurnStarted") {
      used = none
      allowed = plus(none, limits)
    }
    if (raises) allowed = plus(allowed, raisedBy(recorded))
    if (isOutcome(entry)) {
      const share = reserved.get(stepOf(entry)!)
      reserved.delete(stepOf(entry)!)
      // Where nobody knows what a child has used, it is all of its share.
      const isKnown = (entry._tag === "StepSucceeded" || entry._tag === "StepFailed") && entry.usage !== undefined
      if (share !== undefined) used = plus(used, isKnown ? (entry.drawn ?? none) : share)
    }
    used = plus(used, ofUsage(usageOf(recorded)))
    if (entry._tag !== "StepIntended") return []
    const count = { model: "modelCalls", tool: "toolCalls", custom: "steps" } as const
    used = plus(used, { steps: 1 })
    if (entry.kind !== "custom") used = plus(used, { [count[entry.kind]]: 1 })
    const open = [...reserved.values()].reduce<Counts>((sum, share) => plus(sum, share), used)
    const found = names.flatMap((name) =>
      isOver(name, open[name], allowed[name])
        ? [i8(key, `step ${entry.step} was intended at ${seq}, beyond ${what}: ${open[name]} ${name}`)]
        : []
    )
    if (entry.reserved !== undefined) reserved.set(entry.step, entry.reserved)
    return found
  })
}

/** What a session's own model calls have used. Independent of what its parent was told. */
const spentBy = ({ entries, intents }: SessionFacts) => {
  let sum = none
  let most = none
  for (const recorded of entries) {
    const step = stepOf(recorded.entry)
    const intent = step === null ? undefined : intents.get(step)?.entry
    if (intent?._tag !== "StepIntended" || intent.kind !== "model") continue
    const one = ofUsage(usageOf(recorded))
    sum = plus(sum, one)
    most = { ...none, tokens: Math.max(most.tokens, one.tokens), usd: Math.max(most.usd, one.usd) }
  }
  return { sum, most }
}

const parentOf = (session: SessionFacts) => {
  const created = session.entries[0]?.entry
  if (created?._tag !== "SessionCreated" || created.parent === undefined) return null
  const namespace = session.key.slice(0, session.key.indexOf("/"))
  return { key: `${namespace}/${created.parent.session}`, step: created.parent.step, budget: created.budget }
}

/** Of a session and all of its descendants: what was spent, and the largest call of each. */
const familyOf = (session: SessionFacts, children: ReadonlyMap<string, ReadonlyArray<SessionFacts>>) => {
  const own = spentBy(session)
  let { sum } = own
  let inFlight = own.most
  for (const child of children.get(session.key) ?? []) {
    const theirs = familyOf(child, children)
    sum = plus(sum, theirs.sum)
    inFlight = plus(inFlight, theirs.inFlight)
  }
  return { sum, inFlight }
}

const costs = ["tokens", "usd"] as const
/** Sums of floating point numbers. */
const slack = 1e-9

const families: Check = (facts) => {
  const children = new Map<string, Array<SessionFacts>>()
  for (const session of facts.sessions.values()) {
    const parent = parentOf(session)
    if (parent === null) continue
    const all = children.get(parent.key) ?? []
    all.push(session)
    children.set(parent.key, all)
  }
  return [...facts.sessions.values()].flatMap((session) => {
    const { inFlight, sum } = familyOf(session, children)
    const parent = parentOf(session)
    if (parent === null) return wholeFamily(facts, session, sum, inFlight)
    const over = costs.flatMap((name) => {
      const allowed = parent.budget?.[name] ?? Number.POSITIVE_INFINITY
      return sum[name] > allowed + inFlight[name] + slack
        ? [i8(session.key, `it spent ${sum[name]} ${name}; ${allowed} were set aside for it`)]
        : []
    })
    return [...over, ...toldTruly(facts, session, parent, sum)]
  })
}

/** A parent is told what its child has spent: all of it, or that nobody knows. */
const toldTruly = (
  facts: Facts,
  session: SessionFacts,
  parent: { readonly key: string; readonly step: string },
  sum: Counts
): ReadonlyArray<Violation> => {
  const outcome = facts.sessions.get(parent.key)?.outcomes.get(parent.step)?.[0]?.entry
  if (outcome?._tag !== "StepSucceeded" && outcome?._tag !== "StepFailed") return []
  if (outcome.usage === undefined) return []
  const told = Usage.totalTokens(outcome.usage)
  return told === sum.tokens
    ? []
    : [i8(session.key, `it spent ${sum.tokens} tokens, and its parent was told of ${told}`)]
}

/** All turns of a session without a parent, and all that they began: within its budgets, but for what was at work. */
const wholeFamily = (facts: Facts, session: SessionFacts, sum: Counts, inFlight: Counts): ReadonlyArray<Violation> => {
  const created = session.entries[0]?.entry
  if (created?._tag !== "SessionCreated") return []
  const turn = facts.finished.limits[created.agent]
  if (turn === undefined) return []
  const whole = facts.finished.sessionLimits?.[created.agent]
  const turns = session.entries.filter(({ entry }) => entry._tag === "TurnStarted").length
  const raised = session.entries.reduce<Counts>((all, recorded) => plus(all, raisedBy(recorded)), none)
  return costs.flatMap((name) => {
    const allowed = Math.min(turn[name] * turns, whole?.[name] ?? Number.POSITIVE_INFINITY) + raised[name]
    // Each turn may have had calls at work when its limit was met.
    return sum[name] > allowed + inFlight[name] * Math.max(1, turns) + slack
      ? [i8(session.key, `it and its children spent ${sum[name]} ${name}, and ${allowed} were allowed`)]
      : []
  })
}

/** The provider is asked by attempts, and by nobody else. */
const ledger: Check = (facts) => {
  const asked = placed(facts, "Asked").length
  const attempts = placed(facts, "Began").filter(({ event }) => event.kind === "model").length
  return asked <= attempts
    ? []
    : [{ invariant: "I8", session: null, what: `the provider was asked ${asked} times by ${attempts} attempts` }]
}

const accounts: Check = ({ finished, sessions }) =>
  [...sessions.values()].flatMap((session) => {
    const created = session.entries[0]?.entry
    if (created?._tag !== "SessionCreated") return []
    const turn: Limits | undefined = finished.limits[created.agent]
    const whole = finished.sessionLimits?.[created.agent]
    const given = created.budget === undefined ? undefined : Object.assign({}, unlimited, created.budget)
    return [
      ...(turn === undefined ? [] : account(session, "the turn's limit", turn, { each: true, raises: true })),
      ...(whole === undefined ? [] : account(session, "the session's limit", whole, { each: false, raises: true })),
      ...(given === undefined ? [] : account(session, "its parent's share", given, { each: false, raises: false }))
    ]
  })

const unlimited: Counts = {
  steps: Number.POSITIVE_INFINITY,
  modelCalls: Number.POSITIVE_INFINITY,
  toolCalls: Number.POSITIVE_INFINITY,
  tokens: Number.POSITIVE_INFINITY,
  usd: Number.POSITIVE_INFINITY
}

/** A pause begins once, and is decided once; nothing is intended while one is there. */
const pauses: Check = ({ sessions }) =>
  [...sessions.values()].flatMap(({ entries, key }) => {
    const open = new Set<string>()
    return entries.flatMap(({ entry, seq }): ReadonlyArray<Violation> => {
      switch (entry._tag) {
        case "Paused":
          open.add(entry.pause)
          return []
        case "Resumed":
          return open.delete(entry.pause)
            ? []
            : [
                {
                  invariant: "I9",
                  session: key,
                  what: `pause ${entry.pause} was decided again, or never was, at ${seq}`
                }
              ]
        case "StepIntended":
          return open.size === 0
            ? []
            : [i8(key, `step ${entry.step} was intended at ${seq}, in pause ${[...open].join()}`)]
        case "TurnEnded":
          open.clear()
          return []
        default:
          return []
      }
    })
  })

export const check: Check = (facts) => [...accounts(facts), ...families(facts), ...ledger(facts), ...pauses(facts)]
