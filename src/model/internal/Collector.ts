/**
 * An answer as it comes in: parts of the stream go in, deltas for the feed come out, and what is there at the end (or at
 * the cut) is read off.
 *
 * It takes parts decoded and encoded alike, because after a failed decoding only the encoded ones are left.
 */
import type * as Response from "@effect/ai/Response"
import type { FinishReason } from "@effect/ai/Response"
import { Option } from "effect"
import { fromUnknown, type Json } from "../../domain/Json.ts"
import type { AssistantPart } from "../../domain/Message.ts"
import type { Lenient } from "./Leniency.ts"

/** Text that came, for the feed. */
export interface Delta {
  readonly channel: "text" | "reasoning" | "params"
  readonly text: string
}

type Metadata = Record<string, Json>

type Tools = Pick<Lenient, "missing" | "misfit">

interface Block {
  readonly type: "text" | "reasoning"
  text: string
  metadata: Metadata | undefined
}

interface Call {
  readonly type: "call"
  readonly id: string
  name: string
  /** The arguments as they streamed in. */
  text: string
  params: unknown
  complete: boolean
  providerName: string | undefined
  providerExecuted: boolean
  metadata: Metadata | undefined
}

interface Opaque {
  readonly type: "opaque"
  readonly part: Json
}

export interface Finish {
  readonly reason: FinishReason
  readonly usage: Response.Usage
  readonly metadata: Readonly<Record<string, unknown>>
}

const plain = (value: unknown): Json | undefined => (value === undefined ? undefined : fromUnknown(value))

/** Later values win, unless they say nothing. */
const merge = (into: Metadata | undefined, from: unknown): Metadata | undefined => {
  if (typeof from !== "object" || from === null) return into
  let out = into
  for (const [provider, values] of Object.entries(from)) {
    if (typeof values !== "object" || values === null) continue
    const kept: Record<string, Json> = { ...((out?.[provider] as Record<string, Json> | undefined) ?? {}) }
    for (const [key, value] of Object.entries(values)) {
      const json = plain(value)
      if (json !== undefined) kept[key] = json
    }
    out = { ...out, [provider]: kept }
  }
  return out
}

const maybe = (u: unknown): string | null =>
  typeof u === "string" ? u : Option.isOption(u) && Option.isSome(u) ? String(u.value) : null

const noArguments = (text: string): boolean => text.trim() === ""

export class Collector {
  finish: Finish | null = null
  /** What an `error` event said. */
  error: { readonly value: unknown } | null = null
  model: string | null = null
  provider: string | null = null
  /** How many characters came, whatever they were. */
  characters = 0
  readonly #order: Array<Block | Call | Opaque> = []
  readonly #open = new Map<string, Block>()
  readonly #calls = new Map<string, Call>()
  /** Set while a continued answer has not said anything yet and its first half ended in white space. */
  #skipSpace: boolean

  /** `prefix`: the text that the answer goes on from. */
  constructor(prefix: string) {
    this.#skipSpace = /\s$/.test(prefix)
  }

  /** The provider has begun to answer: whatever becomes of that, it is paid. */
  get hasBegun(): boolean {
    return this.model !== null || this.characters > 0
  }

  take(part: Response.AnyPart | Response.StreamPartEncoded): Delta | null {
    switch (part.type) {
      case "text-start":
      case "reasoning-start":
        this.#block(part.type === "text-start" ? "text" : "reasoning", part.id, part.metadata)
        return null
      case "text-delta":
        return this.#append("text", part.id, part.delta, part.metadata)
      case "reasoning-delta":
        return this.#append("reasoning", part.id, part.delta, part.metadata)
      case "text-end":
      case "reasoning-end": {
        const key = `${part.type === "text-end" ? "text" : "reasoning"}:${part.id}`
        const block = this.#open.get(key)
        if (block !== undefined) block.metadata = merge(block.metadata, part.metadata)
        this.#open.delete(key)
        return null
      }
      case "tool-params-start":
        this.#call(part.id, part.name, part.providerName, part.providerExecuted === true, part.metadata)
        return null
      case "tool-params-delta": {
        const call = this.#calls.get(part.id)
        if (call !== undefined) call.text += part.delta
        return this.#delta("params", part.delta)
      }
      case "tool-params-end":
        return null
      case "tool-call": {
        const call = this.#call(part.id, part.name, part.providerName, part.providerExecuted === true, part.metadata)
        call.name = part.name
        call.params = part.params
        call.complete = true
        if (call.text !== "") return null
        const text = JSON.stringify(part.params) ?? ""
        return part.providerExecuted === true ? null : this.#delta("params", text)
      }
      case "response-metadata":
        this.model = maybe(part.modelId) ?? this.model
        return null
      case "finish":
        this.finish = { reason: part.reason, usage: part.usage as Response.Usage, metadata: part.metadata ?? {} }
        this.provider = Object.keys(this.finish.metadata)[0] ?? this.provider
        return null
      case "error":
        this.error = { value: part.error }
        return null
      case "tool-result": {
        const { id, isFailure, metadata, name } = part
        const result = "encodedResult" in part ? part.encodedResult : part.result
        this.#opaque({ type: part.type, id, name, isFailure, result, metadata })
        return null
      }
      case "text":
        this.#block("text", `whole:${this.#order.length}`, part.metadata)
        return this.#append("text", `whole:${this.#order.length - 1}`, part.text, undefined)
      case "reasoning":
        this.#block("reasoning", `whole:${this.#order.length}`, part.metadata)
        return this.#append("reasoning", `whole:${this.#order.length - 1}`, part.text, undefined)
      case "file":
        this.#opaque({
          ...part,
          data: typeof part.data === "string" ? part.data : Buffer.from(part.data).toString("base64")
        })
        return null
      case "source":
        this.#opaque("url" in part ? { ...part, url: String(part.url) } : part)
        return null
    }
  }

  /** Whether the arguments of a call began and did not end. */
  get unfinishedCall(): boolean {
    for (const call of this.#calls.values()) if (!call.complete) return true
    return false
  }

  /** Whether a message was begun, and no word of it came. */
  get saidNothing(): boolean {
    return this.#order.some((block) => block.type === "text") && this.text === ""
  }

  /** Whether a tool was called that does not exist. */
  calledMissing(tools: Tools): boolean {
    for (const call of this.#calls.values()) if (call.complete && tools.missing(call.name) !== null) return true
    return false
  }

  /** The text so far, without anything that only makes sense in a complete answer. */
  get text(): string {
    return this.#order.reduce((text, block) => (block.type === "text" ? text + block.text : text), "")
  }

  /** The parts of an answer that ended; calls whose arguments did not are reported to the model as broken. */
  parts(tools: Tools): Array<AssistantPart> {
    const parts: Array<AssistantPart> = []
    for (const block of this.#order) {
      switch (block.type) {
        case "text":
        case "reasoning": {
          // An empty text says nothing and is refused by providers; reasoning without text may carry a signature.
          const { metadata, text, type } = block
          if (text === "" && (type === "text" || metadata === undefined)) break
          parts.push({ type, text, ...(metadata === undefined ? {} : { metadata }) })
          break
        }
        case "call":
          parts.push(toolCall(block, tools))
          break
        case "opaque":
          parts.push(block)
      }
    }
    return parts
  }

  #block(type: Block["type"], id: string, metadata: unknown): Block {
    const block: Block = { type, text: "", metadata: merge(undefined, metadata) }
    this.#open.set(`${type}:${id}`, block)
    this.#order.push(block)
    return block
  }

  #append(type: "text" | "reasoning", id: string, text: string, metadata: unknown): Delta | null {
    const block = this.#open.get(`${type}:${id}`) ?? this.#block(type, id, undefined)
    if (metadata !== undefined) block.metadata = merge(block.metadata, metadata)
    if (type === "text" && this.#skipSpace) {
      text = text.trimStart()
      if (text !== "") this.#skipSpace = false
    }
    block.text += text
    return this.#delta(type, text)
  }

  #call(
    id: string,
    name: string,
    providerName: string | undefined,
    providerExecuted: boolean,
    metadata: unknown
  ): Call {
    let call = this.#calls.get(id)
    if (call === undefined) {
      call = {
        type: "call",
        id,
        name,
        text: "",
        params: undefined,
        complete: false,
        providerName,
        providerExecuted,
        metadata: undefined
      }
      this.#calls.set(id, call)
      this.#order.push(call)
    }
    call.metadata = merge(call.metadata, metadata)
    return call
  }

  #opaque(part: object): void {
    this.#order.push({ type: "opaque", part: fromUnknown(part) })
  }

  #delta(channel: Delta["channel"], text: string): Delta | null {
    this.characters += text.length
    return text === "" ? null : { channel, text }
  }
}

const toolCall = (call: Call, tools: Tools): AssistantPart => {
  const { id, name, providerExecuted, providerName } = call
  const metadata = providerName === undefined ? call.metadata : merge(call.metadata, { perdure: { providerName } })
  const common = { type: "tool-call" as const, id, name, ...(metadata === undefined ? {} : { metadata }) }
  if (call.complete) {
    const params = fromUnknown(call.params)
    if (providerExecuted) return { ...common, params, providerExecuted }
    const invalid = tools.missing(name) ?? tools.misfit(name, call.params)
    return { ...common, params, ...(invalid === null ? {} : { invalid }) }
  }
  return {
    ...common,
    params: noArguments(call.text) ? {} : call.text,
    invalid:
      tools.missing(name) ??
      `The arguments of this call of "${name}" are not complete, valid JSON. Call it again; if they were long, make them shorter.`
  }
}
