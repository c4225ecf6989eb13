/** What the steps of an agent are given, and what they put into the journal. */
import type { Json } from "../../domain/Json.ts"
import type { AssistantPart } from "../../domain/Message.ts"

/** What a model step puts into the journal. */
export interface ModelOutput {
  readonly parts: ReadonlyArray<AssistantPart>
  readonly finish: string
  readonly model: string | null
  readonly provider: string | null
}

/** What a model step is given, as journaled. */
export interface ModelInput {
  /** How many messages the conversation has. */
  readonly messages: number
  /** It summarises those before this one, and answers nothing. */
  readonly compact?: number | undefined
  /** The policy that decides on its failures before the agent's own, by its name. */
  readonly policy?: string | undefined
}

/** What a model step that summarises puts into the journal. */
export interface CompactOutput {
  readonly summary: string
  readonly finish: string
  readonly model: string | null
  readonly provider: string | null
}

/** What a tool step is given, as journaled. `params` are encoded. */
export interface ToolInput {
  readonly callId: string
  readonly params: Json
}

/** What a tool step puts into the journal: the encoded result, as the model is given it. */
export interface ToolOutput {
  readonly result: Json
  readonly isError: boolean
  /** The transform that made the result of what the tool had returned, `original`; or why it could not. */
  readonly transform?:
    | { readonly name: string; readonly original: Json }
    | { readonly name: string; readonly failed: string }
}
