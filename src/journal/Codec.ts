/**
 * Entries as bytes, and the audit chain over them.
 *
 * An entry is `{"v":1,"entry":{…}}` in UTF-8. `JSON.stringify` escapes lone surrogates and NUL, so that any text
 * survives. The chain's hash of a row covers the hash before it, the digest of the payload, and every column that is
 * not derived from these (I4): it verifies without the payload, so redacting one leaves it whole.
 */
import * as crypto from "node:crypto"
import { Either, ParseResult, Schema, SchemaAST } from "effect"
import * as Entry from "../domain/Entry.ts"
import type { SessionKey } from "../domain/Id.ts"

/** sha256, 32 bytes. `crypto.hash` takes a quarter of the time of `createHash` for short input; Node has it from 20.12. */
export const sha256: (data: Uint8Array | string) => Uint8Array =
  typeof crypto.hash === "function"
    ? // By way of a binary string: making a Buffer of 32 bytes natively costs twice the hash.
      (data) => Buffer.from(crypto.hash("sha256", data, "binary"), "latin1")
    : (data) => crypto.createHash("sha256").update(data).digest()

/** An entry in both of its written forms; the text serves whoever wants to search it before it is dropped. */
export interface Encoded {
  readonly json: string
  readonly payload: Uint8Array
}

const prefix = `{"v":${Entry.version},"entry":`

/**
 * Writes an entry with its version. Entries are their own JSON (no field of the schema is transformed; a test holds
 * that), so there is nothing to encode but the text. It trusts the types: validating costs ten times the rest.
 */
export const encodeWithText = (entry: Entry.Entry): Encoded => {
  const json = `${prefix}${JSON.stringify(entry)}}`
  return { json, payload: Buffer.from(json, "utf8") }
}

export const encode = (entry: Entry.Entry): Uint8Array => encodeWithText(entry).payload

/**
 * What turns an entry of version `n` into one of version `n + 1`, at index `n - 1`. Entries are never rewritten (I4):
 * each reader brings them up to date.
 */
const upgrades: ReadonlyArray<(entry: unknown) => unknown> = []

const knownTags: ReadonlySet<unknown> = new Set(
  Entry.Entry.members.flatMap((member) =>
    SchemaAST.getPropertySignatures(member.ast).flatMap(({ name, type }) =>
      name === "_tag" && SchemaAST.isLiteral(type) ? [type.literal] : []
    )
  )
)

const isEntry = Schema.is(Entry.Entry)
const decodeEntry = Schema.decodeUnknownEither(Entry.Entry)

const isRecord = (u: unknown): u is Record<string, unknown> => typeof u === "object" && u !== null && !Array.isArray(u)

/** Which fields do not fit, by name only: an error message never shows content (I12). */
const misfit = (entry: unknown): string => {
  const tag = isRecord(entry) ? entry["_tag"] : undefined
  if (!knownTags.has(tag))
    return "its kind is not one that this version of Perdure knows: run the version that wrote it, or a newer one"
  const decoded = decodeEntry(entry)
  const fields = Either.isLeft(decoded)
    ? ParseResult.ArrayFormatter.formatErrorSync(decoded.left).map((issue) => String(issue.path[0] ?? "entry"))
    : []
  return `it is damaged: ${[...new Set(fields)].join(", ")} of ${tag} do not have the shape they should`
}

/**
 * Reads an entry of this version or any before it. What is wrong is said without showing content. Fields that this
 * version does not know are kept.
 */
export const decode = (payload: Uint8Array): Either.Either<Entry.Entry, string> => {
  if (payload.byteLength === 0) return Either.left("its content was redacted: only its hash is left")
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"))
  } catch {
    return Either.left("its bytes are not JSON: the store is damaged, restore it from a backup")
  }
  if (!isRecord(parsed) || typeof parsed["v"] !== "number" || !Number.isInteger(parsed["v"]) || parsed["v"] < 1) {
    return Either.left("it names no version: the store is damaged, restore it from a backup")
  }
  const version = parsed["v"]
  if (version > Entry.version) {
    return Either.left(
      `it has version ${version} and this Perdure reads up to ${Entry.version}: run the version that wrote it, or a newer one`
    )
  }
  let entry = parsed["entry"]
  for (let v = version; v < Entry.version; v++) entry = upgrades[v - 1]!(entry)
  return isEntry(entry) ? Either.right(entry) : Either.left(misfit(entry))
}

/** sha256 of a payload: stays when the payload is redacted. */
export const digest = (payload: Uint8Array): Uint8Array => sha256(payload)

/** Columns of a row that its chain hash covers. */
export interface Link {
  readonly seq: number
  readonly at: number
  readonly epoch: number
  readonly tag: string
  readonly command: string | null
  readonly digest: Uint8Array
}

/** The chain's hash up to and with a row: sha256(previous ‖ digest ‖ "seq at epoch tag command"). */
export const chain = (previous: Uint8Array, row: Link): Uint8Array => {
  const columns = `${row.seq} ${row.at} ${row.epoch} ${row.tag} ${row.command ?? ""}`
  const input = Buffer.allocUnsafe(64 + columns.length)
  input.set(previous, 0)
  input.set(row.digest, 32)
  // All of them are ASCII: numbers, our own tags, and command ids by their pattern.
  input.write(columns, 64, "latin1")
  return sha256(input)
}

/** What the chain of a session begins with: it binds the rows to their session. */
export const genesis = (key: SessionKey): Uint8Array => sha256(`perdure journal ${key.namespace}/${key.session}`)

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")

/** A copy, to be kept: a slice of Node's buffer pool would hold its 8 KiB for as long as a session is awake. */
export const own = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
