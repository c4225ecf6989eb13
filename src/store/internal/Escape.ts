/**
 * Free text as a column can hold it.
 *
 * Postgres refuses NUL in `text` and SQLite cuts at it, and both change lone surrogates. So these, and the escape
 * character itself, are written as a backslash and four hex digits. Different texts stay different, so equality can be
 * searched for; a text without any of them is stored as it is.
 */
const special = /[\\\0\p{Cs}]/u
const specials = /[\\\0\p{Cs}]/gu
const escaped = /\\([0-9a-f]{4})/g

export const escape = (text: string): string =>
  special.test(text) ? text.replace(specials, (char) => `\\${char.charCodeAt(0).toString(16).padStart(4, "0")}`) : text

export const unescape = (text: string): string =>
  text.includes("\\") ? text.replace(escaped, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) : text

/** A record of texts as JSON whose keys and values are escaped. */
export const escapeRecord = (record: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(record).map(([key, value]) => [escape(key), escape(value)])))

export const unescapeRecord = (json: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(JSON.parse(json) as Record<string, string>).map(([key, value]) => [unescape(key), unescape(value)])
  )
