/** What is known of a provider's error: read once, matched against the table, and then thrown away (I12). */

export interface Symptom {
  /** The HTTP status, or `null` when the error came inside an answer and named none. */
  readonly status: number | null
  readonly headers: Readonly<Record<string, string>>
  /** The provider's own names for it: `overloaded_error`, `context_length_exceeded`. Lower case. */
  readonly codes: ReadonlyArray<string>
  /** Its message and body, lower case. Matched, never kept. */
  readonly text: string
}

export const field = (u: unknown, key: string): unknown =>
  typeof u === "object" && u !== null ? (u as Record<string, unknown>)[key] : undefined

const strings = (...values: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  values.filter((value) => typeof value === "string")

const isStatus = (u: unknown): u is number => typeof u === "number" && Number.isInteger(u) && u >= 400 && u <= 599

/** Reads `{ error: { type, code, message } }`, what is nested less, and `[{ error }]`, as some gateways have it. */
export const symptomOf = (status: number | null, headers: Symptom["headers"], body: unknown): Symptom => {
  const whole = Array.isArray(body) ? body[0] : body
  const inner = field(whole, "error")
  const error = typeof inner === "object" && inner !== null ? inner : whole
  const code = field(error, "code")
  const nested = field(error, "innererror")
  return {
    // Gateways that stream put the status of whoever is behind them into the error itself.
    status: status ?? (isStatus(code) ? code : null),
    headers,
    codes: strings(code, field(error, "type"), field(error, "status"), field(nested, "code")).map((name) =>
      name.toLowerCase()
    ),
    text: (typeof whole === "string"
      ? whole
      : strings(field(error, "param"), field(error, "message"), inner, field(whole, "message")).join(" ")
    )
      .slice(0, 4_000)
      .toLowerCase()
  }
}

/** A body as what it is: JSON, or text. */
export const parsed = (body: string | undefined): unknown => {
  if (body === undefined) return undefined
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}
