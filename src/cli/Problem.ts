/** An error as its reader needs it: one line and a code, or one JSON object. Stack traces are for `--debug`. */
import { Cause } from "effect"
import * as ExitCode from "./ExitCode.ts"
import { visible } from "./internal/Format.ts"

export interface Problem {
  /** The error's name: stable. */
  readonly error: string
  /** What, why, and what to do. */
  readonly message: string
  readonly exitCode: number
  /** For `--debug` only. */
  readonly detail: string
}

/** What `Config` wanted, from its own words before the value that it quotes: that may be a secret (I12). */
const wanted = /^Expected (.{1,200}?) but received /

/** What is wrong with configuration, without its values. */
const configReason = (error: object): string => {
  const path = "path" in error && Array.isArray(error.path) ? error.path.join("_") : ""
  const op = "_op" in error ? error._op : ""
  if ((op === "And" || op === "Or") && "left" in error && "right" in error) {
    const both = [error.left, error.right].map((side) => configReason(side as object))
    return both.join(op === "And" ? "; " : ", and ")
  }
  const name = path === "" ? "a setting" : path
  if (op === "MissingData") return `${name} is not set`
  const found = "message" in error && typeof error.message === "string" ? wanted.exec(error.message) : null
  if (found === null) return `${name} is not valid`
  const form = found[1] === "a duration" ? `${found[1]}, e.g. "500 millis" or "5 seconds"` : found[1]
  return `${name} is not valid: it has to be ${form}`
}

const isConfigError = (error: object): boolean => "_tag" in error && error._tag === "ConfigError"

/** What an error of a stranger says, in a line or a few. */
export const explain = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return String(error)
  if (isConfigError(error)) return configReason(error)
  const message = "message" in error && typeof error.message === "string" ? error.message : ""
  const tag = "_tag" in error ? String(error._tag) : error instanceof Error ? error.name : "an error"
  return message === "" ? tag : message
}

/** The first failure of a cause, or its first defect. */
export const of = (cause: Cause.Cause<unknown>): Problem => {
  const error = Cause.squash(cause)
  const detail = Cause.pretty(cause, { renderErrorCause: true })
  const known = typeof error === "object" && error !== null && "_tag" in error && Cause.isFailure(cause)
  if (known && isConfigError(error)) {
    return { error: "ConfigError", message: explain(error), exitCode: ExitCode.usage, detail }
  }
  const tag = known ? String(error._tag) : "Defect"
  const exitCode = ExitCode.of(tag)
  return exitCode === ExitCode.bug
    ? {
        error: tag,
        message: `unexpected: ${explain(error)} (run it again with --debug and report it)`,
        exitCode,
        detail
      }
    : { error: tag, message: explain(error), exitCode, detail }
}

export const show = (problem: Problem, as: { readonly json: boolean; readonly debug: boolean }): string => {
  const { detail, ...rest } = problem
  if (as.json) return `${JSON.stringify({ type: "error", ...rest, ...(as.debug ? { detail } : {}) })}\n`
  return `perdure: ${visible(problem.message)}\n${as.debug ? `\n${detail}\n` : ""}`
}
