/** The model's provider: outside of all processes, slow, rate-limited, overloaded, and apt to break off in the middle. */
import type * as LanguageModel from "@effect/ai/LanguageModel"
import type * as AiError from "@effect/ai/AiError"
import type * as Response from "@effect/ai/Response"
import { Effect, Stream } from "effect"
import { Direct } from "../../../model/index.ts"
import type { ModelFailure } from "../../ScriptedAnswer.ts"
import { breakOff } from "../script.ts"
import type { Prng } from "./Prng.ts"
import type { World } from "./World.ts"

type Parts = Stream.Stream<Response.StreamPartEncoded, AiError.AiError>

/** How many calls of a model are taken in any window. */
export interface Allowed {
  readonly limit: number
  readonly perMs: number
}

export interface ModelWeather {
  /** Milliseconds until the first word. */
  readonly latency: readonly [number, number]
  /** How likely a call is refused at once, breaks off in the middle, falls silent. */
  readonly fails: number
  readonly cuts: number
  readonly hangs: number
}

/** What passes comes often, what does not seldom. */
const failures: ReadonlyArray<ModelFailure> = [
  "RateLimited",
  "RateLimited",
  "Overloaded",
  "Overloaded",
  "Unreachable",
  "Unreachable",
  "TimedOut",
  "Interrupted",
  "Defect",
  "ContextOverflow",
  "InvalidRequest"
]

export class Provider {
  /** Nothing fails any more. */
  calm = false
  #calls = 0
  readonly #random: Prng
  /** When each model was asked and took it, newest last. */
  readonly #taken = new Map<string, ReadonlyArray<number>>()

  constructor(
    readonly world: World,
    readonly weather: ModelWeather
  ) {
    this.#random = world.random.fork("provider")
  }

  /** How long until it takes one more; `null` where it does. */
  #refuses(model: string, { limit, perMs }: Allowed): number | null {
    const { now } = this.world
    const taken = (this.#taken.get(model) ?? []).filter((at) => at > now - perMs)
    const isFull = taken.length >= limit
    this.#taken.set(model, isFull ? taken : [...taken, now])
    return isFull ? taken[0]! + perMs - now : null
  }

  /** Answers of a model, as this provider gives them. */
  readonly lead = (parts: Parts, model: string, allowed: Allowed | null): Parts =>
    Stream.unwrapScoped(
      Effect.gen(this, function* () {
        const { history } = this.world
        const random = this.#random
        const call = ++this.#calls
        let tokens = 0
        let outcome = "interrupted"
        history.record({ _tag: "Asked", call, model })
        const refusedMs = allowed === null ? null : this.#refuses(model, allowed)
        const told = () => history.record({ _tag: "Answered", call, tokens, outcome })
        yield* Effect.addFinalizer(() => Effect.sync(told))
        yield* this.pause
        if (refusedMs !== null) {
          outcome = "refused"
          const retryAfter = Math.ceil(refusedMs)
          return breakOff({ _tag: "Fails", failure: "RateLimited", retryAfter, after: "", next: none })
        }
        const { cuts, fails, hangs } = this.weather
        const draw = this.calm ? 1 : random.next()
        if (draw < fails) {
          const failure = random.pick(failures)
          outcome = failure
          return breakOff({ _tag: "Fails", failure, retryAfter: `${random.int(1, 3)} seconds`, after: "", next: none })
        }
        const count = (part: Response.StreamPartEncoded) => {
          // Whoever reads stops here.
          if (part.type === "finish") outcome = "complete"
          if (part.type === "finish") tokens += (part.usage.inputTokens ?? 0) + (part.usage.outputTokens ?? 0)
          if (part.type === "text-delta") tokens++
        }
        const counted = parts.pipe(
          Stream.rechunk(1),
          Stream.tap((part) =>
            Effect.zipRight(
              Effect.sync(() => count(part)),
              this.between
            )
          )
        )
        if (draw < fails + cuts) {
          outcome = "cut"
          return Stream.take(counted, random.int(1, 4))
        }
        if (draw < fails + cuts + hangs) {
          outcome = "silent"
          return Stream.concat(Stream.take(counted, random.int(0, 3)), Stream.never)
        }
        return counted
      })
    )

  /** Until the first word. */
  private readonly pause = Effect.suspend(() => {
    const [from, to] = this.weather.latency
    return Effect.sleep(this.#random.skewed(from, to))
  })

  private readonly between = Effect.suspend(() =>
    this.#random.chance(0.3) ? Effect.sleep(this.#random.skewed(0.1, 50)) : Effect.void
  )

  of(model: LanguageModel.Service, name: string, allowed: Allowed | null): LanguageModel.Service {
    return Direct.through(model, (parts) => this.lead(parts, name, allowed))
  }
}

const none = { _tag: "Said", text: "", calls: [], options: {} } as const
