/** How much an agent may use (I8). Limits are always on: what an agent does not say has a default. */
import { Duration } from "effect"
import { Decision } from "../domain/Command.ts"
import type { Amounts as Journaled } from "../domain/Entry.ts"
import type { Bounds, Limits } from "../session/index.ts"
import { flawOfKeys, flawOfTime, flawOfWord, said } from "./internal/given.ts"

/** A part of the limits, as an agent states them. */
export interface Amounts {
  readonly steps?: number | undefined
  readonly modelCalls?: number | undefined
  readonly toolCalls?: number | undefined
  /** Input and output tokens together. */
  readonly tokens?: number | undefined
  /** US dollars. Calls whose price is unknown count as nothing. */
  readonly usd?: number | undefined
  /** How long turns may run; what they are paused does not count. */
  readonly wall?: Duration.DurationInput | undefined
}

/** What an agent may use: each turn, and all of them together. */
export interface Budget extends Amounts {
  /** All turns of one session together; no limit unless told. `wall` is the time in which turns were running. */
  readonly session?: Amounts | undefined
  /**
   * What happens at a limit. `end`, which it is unless told: the turn ends as `LimitReached`. `ask`: it is paused until
   * somebody allows more (`session.raise`), decides (`session.decide`), or the deadline does: by `end` unless told. What
   * a policy or `loops` asks has the same deadline.
   */
  readonly onLimit?:
    | "end"
    | "ask"
    | { readonly ask: { readonly deadline?: Duration.DurationInput | undefined; readonly then?: Decision | undefined } }
    | undefined
  /**
   * The model is told once to conclude, when so much of a limit is used (`at`, 0.9 unless told) or so many of its calls are
   * left (`calls`, 1 unless told: the one that is told). `final`: that call is the turn's last and has no tools, so that
   * the turn ends with an answer. `false`: it is not told.
   */
  readonly lastWords?:
    | false
    | { readonly at?: number | undefined; readonly calls?: number | undefined; readonly final?: boolean | undefined }
    | undefined
  /**
   * A model call does not begin where the conversation alone, at the list price of input, would cross a limit. `false`
   * unless told: the call that crosses a limit is then the last one.
   */
  readonly forecast?: boolean | undefined
}

/** Generous for a task that a person waits for; an agent that works for hours says so. */
export const defaults: Limits = {
  steps: 500,
  modelCalls: 100,
  toolCalls: 400,
  tokens: 5_000_000,
  usd: 10,
  wallMs: 60 * 60 * 1000
}

const unlimited: Limits = {
  steps: Number.POSITIVE_INFINITY,
  modelCalls: Number.POSITIVE_INFINITY,
  toolCalls: Number.POSITIVE_INFINITY,
  tokens: Number.POSITIVE_INFINITY,
  usd: Number.POSITIVE_INFINITY,
  wallMs: Number.POSITIVE_INFINITY
}

/** What is said beside the limits of one turn. */
export const bounds = ({ forecast = false, lastWords, onLimit = "end", session }: Budget = {}): Bounds => {
  const asked = onLimit === "end" ? null : onLimit === "ask" ? {} : onLimit.ask
  return {
    forecast,
    ...(session === undefined ? {} : { session: filled(session, unlimited) }),
    ...(asked === null
      ? {}
      : {
          asking: {
            deadlineMs: asked.deadline === undefined ? null : Duration.toMillis(asked.deadline),
            atDeadline: asked.then ?? "end"
          }
        }),
    ...(lastWords === false
      ? {}
      : {
          lastWords: {
            at: lastWords?.at ?? 0.9,
            calls: lastWords?.calls ?? 1,
            final: lastWords?.final ?? false
          }
        })
  }
}

/** As they are journaled. */
export const toAmounts = ({ wall, ...rest }: Amounts): Journaled => ({
  ...rest,
  ...(wall === undefined ? {} : { wallMs: Duration.toMillis(wall) })
})

const counts = ["steps", "modelCalls", "toolCalls", "tokens"] as const
const names = [...counts, "usd", "wall"]

/** Counts are whole, because a part of a call is never made; `Infinity` is no limit. */
const isAmount = (name: string, value: unknown): boolean =>
  typeof value === "number" && value > 0 && (name === "usd" || Number.isInteger(value) || !Number.isFinite(value))

const problemsOfAmounts = (where: string, amounts: Amounts): ReadonlyArray<string | null> => [
  ...[...counts, "usd" as const].map((name) =>
    amounts[name] === undefined || isAmount(name, amounts[name])
      ? null
      : `${where}.${name} must be a positive ${name === "usd" ? "" : "whole "}number, not ${said(amounts[name])}`
  ),
  flawOfTime(`${where}.wall`, amounts.wall)
]

/** What cannot be of a share: a definition fails where it is written. */
export const problemsOfShare = (budget: Amounts): ReadonlyArray<string> =>
  [flawOfKeys("budget", budget, names), ...problemsOfAmounts("budget", budget)].filter((flaw) => flaw !== null)

/** The same of a whole budget. */
export const problemsOf = (budget: Budget = {}): ReadonlyArray<string> => {
  const { forecast, lastWords, onLimit, session } = budget
  // What is of the wrong kind has no parts to look at.
  const kinds = [
    flawOfKeys("budget", budget, [...names, "session", "onLimit", "lastWords", "forecast"]),
    flawOfKeys("budget.session", session, names),
    typeof onLimit === "object" && onLimit !== null
      ? (flawOfKeys("budget.onLimit", onLimit, ["ask"]) ??
        flawOfKeys("budget.onLimit.ask", onLimit.ask ?? null, ["deadline", "then"]))
      : flawOfWord("budget.onLimit", onLimit, ["end", "ask"]),
    lastWords === false ? null : flawOfKeys("budget.lastWords", lastWords, ["at", "calls", "final"]),
    forecast === undefined || typeof forecast === "boolean"
      ? null
      : `budget.forecast must be true or false, not ${said(forecast)}`
  ].filter((flaw) => flaw !== null)
  if (kinds.length > 0) return kinds
  const { at = 1, calls = 0 } = lastWords === false || lastWords === undefined ? {} : lastWords
  const asked = typeof onLimit === "object" ? onLimit.ask : {}
  return [
    ...problemsOfAmounts("budget", budget),
    ...problemsOfAmounts("budget.session", session ?? {}),
    flawOfTime("budget.onLimit.ask.deadline", asked.deadline),
    flawOfWord("budget.onLimit.ask.then", asked.then, Decision.literals),
    at > 0 && at <= 1 ? null : `budget.lastWords.at must be above 0 and at most 1, not ${said(at)}`,
    Number.isInteger(calls) && calls >= 0 ? null : `budget.lastWords.calls must be 0 or more, not ${said(calls)}`
  ].filter((flaw) => flaw !== null)
}

export const resolve = (budget: Budget = {}): Limits => filled(budget, defaults)

const filled = (amounts: Amounts, otherwise: Limits): Limits => ({
  steps: amounts.steps ?? otherwise.steps,
  modelCalls: amounts.modelCalls ?? otherwise.modelCalls,
  toolCalls: amounts.toolCalls ?? otherwise.toolCalls,
  tokens: amounts.tokens ?? otherwise.tokens,
  usd: amounts.usd ?? otherwise.usd,
  wallMs: amounts.wall === undefined ? otherwise.wallMs : Duration.toMillis(amounts.wall)
})
