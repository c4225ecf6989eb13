/**
 * What became of a call whose runner died (I5): what a tool's `reconcile` finds out, e.g. by asking the service for the
 * call's idempotency key.
 *
 * ```ts
 * tools: {
 *   book: {
 *     reconcile: ({ idempotencyKey }) =>
 *       Effect.map(findBooking(idempotencyKey), (found) =>
 *         found === null ? Reconcile.didNotHappen : Reconcile.happened(found.reference))
 *   }
 * }
 * ```
 */
import type { Tool } from "@effect/ai"
import type { Effect } from "effect"

export type Reconciled<A> =
  /** It had its effect. This is what the tool would have returned. */
  | { readonly _tag: "Happened"; readonly result: A }
  /** It had no effect, and will have none: it is run again, with the same key. */
  | { readonly _tag: "DidNotHappen" }
  /** Nobody can tell: the call is in doubt. */
  | { readonly _tag: "Unknown" }

export const happened = <A>(result: A): Reconciled<A> => ({ _tag: "Happened", result })

/**
 * Say so only of what cannot happen any more: a request that is still on its way would have its effect beside that of the
 * next attempt, unless the service knows the key.
 */
export const didNotHappen: Reconciled<never> = { _tag: "DidNotHappen" }

export const unknown: Reconciled<never> = { _tag: "Unknown" }

/** The call that is in doubt. */
export interface Doubted<Params> {
  readonly params: Params
  /** What every attempt of the call was given. */
  readonly idempotencyKey: string
}

/**
 * Asks what became of a call. To be safe to repeat: it is asked again when its runner dies meanwhile. It may use what the
 * tool names among its dependencies.
 */
export type Reconcile<T> = (
  call: Doubted<Tool.Parameters<T>>
) => Effect.Effect<Reconciled<Tool.Success<T>>, unknown, Tool.Requirements<T>>
