/** How values are shown to people. Pure. */

/** `340 ms`, `2.4 s`, `3 m 05 s`, `2 h 10 m`. */
export const duration = (ms: number): string => {
  const whole = Math.max(0, Math.round(ms))
  if (whole < 1000) return `${whole} ms`
  if (whole < 60_000) return `${(whole / 1000).toFixed(whole < 10_000 ? 1 : 0)} s`
  const seconds = Math.round(whole / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} m`
}

/** `$0`, `$0.00042`, `$1.25`; `?` where the price is unknown. */
export const money = (usd: number | null): string =>
  usd === null ? "$?" : usd === 0 ? "$0" : usd >= 1 ? `$${usd.toFixed(2)}` : `$${usd.toPrecision(2)}`

/** UTC, to the second: `2026-03-01 12:00:05`. */
export const instant = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace("T", " ")

/** Text from outside must not command the terminal: control characters become visible ones. */
export const visible = (text: string): string =>
  text
    .replace(/\r\n/g, "\n")
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd")

/** One line of at most `width` characters. */
export const line = (text: string, width: number): string => {
  const flat = visible(text).replace(/\s+/g, " ").trim()
  const units = [...flat.slice(0, width * 2 + 2)]
  return units.length <= width ? flat : `${units.slice(0, Math.max(1, width - 1)).join("")}…`
}

/** Columns as wide as their widest cell; `right` names those that are numbers. */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  right: ReadonlySet<number> = new Set()
): ReadonlyArray<string> => {
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)))
  const format = (row: ReadonlyArray<string>) =>
    row
      .map((cell, i) => (right.has(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd()
  return [format(header), ...rows.map(format)]
}
