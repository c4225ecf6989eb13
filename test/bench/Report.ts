/** What a measure gives, and how it is shown: a table for people, one object a row for machines. */

export interface Row {
  readonly name: string
  readonly store: string
  /** What was measured, in milliseconds. */
  readonly p50_ms?: number
  readonly p95_ms?: number
  readonly p99_ms?: number
  readonly max_ms?: number
  /** A bare single-row commit through the same driver, measured between: or what `against` names. */
  readonly base_p50_ms?: number
  readonly base_p95_ms?: number
  /** p50_ms / base_p50_ms. */
  readonly ratio?: number
  readonly per_second?: number
  readonly base_per_second?: number
  /** Processor time of this process, in microseconds a step: it says the same on a busy machine. */
  readonly cpu_us?: number
  /** Memory, where that is what was measured. */
  readonly kib?: number
  readonly mib?: number
  /** What the base is, where it is no bare commit. */
  readonly against?: string
  /** The number to reach: of which field, and whether it was. */
  readonly goal?: string
  readonly ok?: boolean
  readonly note?: string
}

type Field = "p50_ms" | "p99_ms" | "ratio" | "per_second" | "kib" | "mib"

/** Says what a row should reach, and whether it does. */
export const goal = (row: Row, field: Field, sign: "<=" | ">=", value: number): Row => {
  const is = row[field]
  const unit = { p50_ms: "ms", p99_ms: "ms", ratio: "x", per_second: "/s", kib: "KiB", mib: "MiB" }[field]
  return {
    ...row,
    goal: `${sign === "<=" ? "≤" : "≥"} ${value} ${unit}`,
    ok: is !== undefined && (sign === "<=" ? is <= value : is >= value)
  }
}

const digits = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value)
    ? ""
    : value >= 1000
      ? String(Math.round(value))
      : value >= 10
        ? value.toFixed(1)
        : value.toFixed(3)

const columns: ReadonlyArray<readonly [string, (row: Row) => string]> = [
  ["", (row) => row.name],
  ["store", (row) => row.store],
  ["p50 ms", (row) => digits(row.p50_ms)],
  ["p95 ms", (row) => digits(row.p95_ms)],
  ["p99 ms", (row) => digits(row.p99_ms)],
  ["max ms", (row) => digits(row.max_ms)],
  ["base p50", (row) => digits(row.base_p50_ms)],
  ["ratio", (row) => (row.ratio === undefined ? "" : row.ratio.toFixed(2))],
  ["per s", (row) => digits(row.per_second)],
  ["base per s", (row) => digits(row.base_per_second)],
  ["cpu µs", (row) => digits(row.cpu_us)],
  [
    "memory",
    (row) =>
      row.kib !== undefined ? `${row.kib.toFixed(1)} KiB` : row.mib !== undefined ? `${row.mib.toFixed(0)} MiB` : ""
  ],
  ["goal", (row) => row.goal ?? ""],
  ["", (row) => (row.ok === undefined ? "" : row.ok ? "ok" : "MISSED")],
  ["", (row) => [row.against === undefined ? "" : `base: ${row.against}`, row.note ?? ""].filter(Boolean).join("; ")]
]

export const table = (rows: ReadonlyArray<Row>): string => {
  const cells = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, show]) => show(row)))]
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)))
  return cells
    .map((line) =>
      line
        .map((cell, i) => (i < 2 || i >= 12 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

const rounded = (value: unknown) => (typeof value === "number" ? Number(value.toPrecision(5)) : value)

export const json = (rows: ReadonlyArray<Row>): string =>
  rows.map((row) => JSON.stringify(row, (_key, value) => rounded(value))).join("\n")

/** What these numbers do not say. */
export const notMeasured = [
  "a real provider or a network between client, runner and database: all run on this machine",
  "runners on several machines: those of the failover rows share these processors, and with their database",
  "contention with other tenants of the same disk, except that everything is measured beside its base",
  "sessions older than the ones above, and conversations of which each message is large"
]
