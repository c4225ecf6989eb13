/** What follows a failed attempt, in words. Pure. */
import type { AttemptFailed, Decided, NextInput } from "../../domain/Entry.ts"
import { duration } from "./Format.ts"

const given: Readonly<Record<NextInput, string>> = {
  original: "",
  continue: ", going on from what came",
  repaired: ", told what was wrong",
  compacted: ", with a shorter conversation",
  reconcile: ", to find out what became of it"
}

/** Who decided it: `modelDefault: RateLimited`. */
export const by = (decided: Decided | undefined): string =>
  decided === undefined
    ? ""
    : ` (${decided.policy}: ${decided.rule}${decided.threw === undefined ? "" : `, ${decided.threw}`})`

/** Of an attempt after which there is another: `again in 2.4 s, going on from what came (modelDefault: Interrupted)`. */
export const next = (
  { decided, nextInput, retryAt }: Pick<AttemptFailed, "decided" | "nextInput" | "retryAt">,
  at: number
): string => {
  if (decided?.plan === "ask") {
    return `waits for a decision${decided.question === undefined ? "" : `: ${decided.question}`}${by(decided)}`
  }
  const what = decided?.model === undefined ? "again" : `asks "${decided.model}" instead`
  const wait = retryAt > at ? ` in ${duration(retryAt - at)}` : ""
  return `${what}${wait}${given[nextInput]}${by(decided)}`
}

/** Of a step that has failed: why there is no other attempt. */
export const end = (decided: Decided | undefined): string =>
  decided === undefined
    ? ""
    : decided.plan === "compact"
      ? `the conversation is to be made shorter${by(decided)}`
      : `not tried again${by(decided)}`
