/**
 * What a session can be: an agent's loop, an orchestration. Data in, data out, and one place with effects.
 *
 * `evolve`, `decide` and `policy` are pure. There is no replay: a behaviour is never run again to find out where it was,
 * so its code, prompts and tools may change under a session in flight.
 */
import type { Effect } from "effect"
import type {
  Amounts,
  Command,
  Cut,
  Decision,
  Drawn,
  Entry,
  Reconciled,
  Repeatable,
  StepKind,
  TurnOutcome
} from "../domain/Entry.ts"
import type { Failure, StepFailure } from "../domain/Failure.ts"
import type { AgentName } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import type { Usage } from "../domain/Usage.ts"
import type { Policy } from "../resilience/index.ts"
import type { AgentUnfit } from "./AgentUnfit.ts"
import type { OpenStep, SessionState } from "./State.ts"
import type { StepContext } from "./StepContext.ts"

/** What a behaviour wants to happen now. */
export type Action =
  /** A unit of work whose outcome is journaled. */
  | {
      readonly _tag: "Step"
      readonly kind: StepKind
      readonly name: string
      readonly input: Json
      readonly repeatable: Repeatable
      /** It is a child: it has a share of what is left of the budget, at most so much. */
      readonly share?: Amounts | undefined
    }
  /** The turn is done, with an answer that may have been cut off. */
  | { readonly _tag: "EndTurn"; readonly output: Json; readonly cut?: Cut | undefined }
  /** The turn cannot go on. */
  | { readonly _tag: "FailTurn"; readonly failure: Failure }
  /** The turn ends in a way of its own. Where `ask` says so, only if somebody decides that: it is paused first. */
  | {
      readonly _tag: "Halt"
      /** Why, in a word. */
      readonly kind: string
      readonly detail: Json
      readonly outcome: TurnOutcome
      readonly ask: boolean
    }
  /** Something worth seeing. */
  | { readonly _tag: "Note"; readonly kind: string; readonly detail: Json }

/** What a step gave. Large content in `output` is claim-checked before it is journaled. */
export interface StepOutput {
  readonly output: Json
  readonly usage?: Usage | undefined
  /** What a child has done. */
  readonly drawn?: Drawn | undefined
  /** Claims that the step has made itself: they may stand in `output` as they are. */
  readonly claims?: ReadonlySet<string> | undefined
  /**
   * What an attempt has found out that was to find out what became of an earlier one (`nextInput` is `reconcile`);
   * `output` is what that gave where it `happened`.
   */
  readonly reconciled?: Reconciled | undefined
}

/** An output, or why there is none. */
export type Settled = { readonly output: Json } | { readonly wrong: string }

/** How much one turn may use (I8). `wallMs` is how long it may run, in milliseconds; what it is paused does not count. */
export interface Limits {
  readonly steps: number
  readonly modelCalls: number
  readonly toolCalls: number
  readonly tokens: number
  readonly usd: number
  readonly wallMs: number
}

/** A limit that is met pauses the turn, until somebody allows more or ends it. */
export interface Asking {
  /** After so many milliseconds it is decided without anybody; `null`: never. */
  readonly deadlineMs: number | null
  readonly atDeadline: Decision
}

/** When a turn is told that its budget nears its end. */
export interface LastWords {
  /** When this part of a limit is used, in (0, 1]. */
  readonly at: number
  /** When so many model calls are left, the one that is told included. */
  readonly calls: number
  /** The call that is told is the last one of the turn, and may call no tools: what it says is the answer. */
  readonly final: boolean
}

/** What budgets have beside the limits of one turn. */
export interface Bounds {
  /** Of the whole session, over all its turns; without a limit where it is left out. */
  readonly session?: Limits | undefined
  /** A turn that meets a limit ends, unless this is there. */
  readonly asking?: Asking | undefined
  readonly lastWords?: LastWords | undefined
  /** A model call does not begin where its input alone would cross a limit, by `Behaviour.forecast`. */
  readonly forecast?: boolean | undefined
}

/**
 * `State` must be JSON: it is snapshotted.
 *
 * @template R the services that `perform` needs
 */
export interface Behaviour<State = any, R = any> {
  readonly agent: AgentName
  /** The version of the definition: recorded with each session, shown, never a reason to refuse. */
  readonly version: string
  /** The version of `State`'s shape: a snapshot of another one is not used; the journal is folded again. */
  readonly stateVersion: number
  readonly limits: Limits
  readonly bounds?: Bounds | undefined
  /** The agents whose sessions it may begin: a runner that lacks one of them does not start. */
  readonly agents?: ReadonlyArray<string> | undefined
  readonly initial: State
  /** Pure. Sees each entry once, in order, after the session's own state has seen it. */
  readonly evolve: (state: State, entry: Entry) => State
  /** Pure: what to do now in the running turn. Empty while steps are open means: wait for them. */
  readonly decide: (state: State, session: SessionState<State>) => ReadonlyArray<Action>
  /** Runs one attempt of a step. May run again only as `repeatable` allows (I5). */
  readonly perform: (step: OpenStep, state: State, context: StepContext) => Effect.Effect<StepOutput, StepFailure, R>
  /** Pure: the pool of the runner in which a step runs; that of its kind (`model`, `tool`, `custom`) unless told. */
  readonly pool?: ((kind: StepKind, name: string) => string) | undefined
  /**
   * Pure: the tag of the runners on which a step can run; any runner unless told. There the step sees the behaviour's
   * initial state.
   */
  readonly runsOn?: ((kind: StepKind, name: string) => string | undefined) | undefined
  /**
   * Pure: whether it can be found out what became of such a step when its runner has died: it is performed once more
   * then, as often as it takes, with `reconcile` for its input. Never unless told.
   */
  readonly reconciles?: ((kind: StepKind, name: string) => boolean) | undefined
  /** Pure: whether such a step in doubt holds its turn until somebody has settled it. Never unless told. */
  readonly holdsDoubt?: ((kind: StepKind, name: string) => boolean) | undefined
  /**
   * Pure: how long such a step may take, all its attempts together, from its intent on, in milliseconds; for ever unless
   * told. What is over that is not tried again.
   */
  readonly totalMs?: ((kind: StepKind, name: string) => number) | undefined
  /** Pure: the output of a step by what somebody says it gave, or why it cannot be that. As it is unless told. */
  readonly settle?: ((kind: StepKind, name: string, result: Json) => Settled) | undefined
  /** The pools of its steps, `heavy` or `heavy@tag`: a runner that should have one of them and has not does not start. */
  readonly pools?: ReadonlyArray<string> | undefined
  /**
   * Pure: the models that such a model step may ask, by name, the first one first: what their providers allow is kept to,
   * and where one is left alone for a while the next is asked. Without it nothing is limited.
   */
  readonly chain?: ((name: string) => ReadonlyArray<string>) | undefined
  /** All models in its chains. */
  readonly models?: ReadonlyArray<string> | undefined
  /** Pure: about what the input alone of the next model step will use; `usd` is 0 where the price is not known. */
  readonly forecast?: ((state: State) => { readonly tokens: number; readonly usd: number }) | undefined
  /** Pure: about how many tokens the next model step will use, its answer too; `null` where nothing is known. */
  readonly tokens?: ((state: State) => number | null) | undefined
  /** Pure: why it cannot make anything of a command, as a reason for its sender; `null` if it can. */
  readonly refuses?: ((command: Command) => string | null) | undefined
  /** Asked once, when a runner starts, with the services of its steps: one that cannot work there fails. */
  readonly check?: Effect.Effect<void, AgentUnfit, R> | undefined
  /** Pure: what follows a failed attempt. */
  readonly policy: Policy.Judge
}
