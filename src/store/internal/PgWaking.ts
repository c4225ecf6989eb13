/**
 * Sessions that wake at once are read together. A runner that takes over wakes dozens of them, and a statement costs each
 * side more than the rows do: half a millisecond in all, with both on one machine.
 *
 * Both statements are prepared: to plan one takes longer than to run it for a young session.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import { Deferred, Effect, Exit, FiberId } from "effect"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import type { Store, Waking } from "../Store.ts"
import type * as PgConnection from "./PgConnection.ts"
import { guard } from "./PgFailure.ts"
import { wakingOf } from "./Queries.ts"
import * as Rows from "./Rows.ts"
import { turn } from "./turn.ts"

type Wake = Store["Type"]["waking"]

interface Question {
  readonly of: Parameters<Wake>
  readonly answer: Deferred.Deferred<Waking, StoreUnavailable>
}

/** What a statement answers is in memory at once. */
const questions_max = 16

export const make = (sql: SqlClient.SqlClient, run: PgConnection.Prepared): Wake => {
  const [$1, $2, $3] = [sql.literal("$1"), sql.literal("$2"), sql.literal("$3")]
  const [one] = sql`${wakingOf(sql, $1, $2, $3)} ORDER BY j.seq`.compile()
  const [many] = sql`SELECT q.question, w.*
    FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS q (namespace, session, most, question)
    CROSS JOIN LATERAL (${wakingOf(sql, sql`q.namespace`, sql`q.session`, sql`q.most`)}) AS w
    ORDER BY q.question, w.seq`.compile()

  const answers = (questions: ReadonlyArray<Question>) => {
    if (questions.length === 1) {
      const rows = run<Rows.WakingColumns>("perdure_waking", one, questions[0]!.of)
      return guard("waking")(Effect.map(rows, (result) => [Rows.waking(result.rows)]))
    }
    const columns = ([0, 1, 2] as const).map((index) => questions.map(({ of }) => of[index]))
    const rows = run<Rows.WakingColumns & { readonly question: unknown }>("perdure_waking_many", many, columns)
    return guard("waking")(
      Effect.map(rows, (result) => {
        const found = questions.map((): Array<Rows.WakingColumns> => [])
        for (const row of result.rows) found[Number(row.question) - 1]!.push(row)
        return found.map(Rows.waking)
      })
    )
  }

  let asked: Array<Question> = []

  const ask = (questions: ReadonlyArray<Question>) =>
    Effect.map(Effect.exit(answers(questions)), (exit) => {
      questions.forEach(({ answer }, i) =>
        Deferred.unsafeDone(
          answer,
          Exit.map(exit, (found) => found[i]!)
        )
      )
    })

  const askAll = Effect.suspend(() => {
    const all = asked
    asked = []
    const parts = Array.from({ length: Math.ceil(all.length / questions_max) }, (_, i) =>
      all.slice(i * questions_max, (i + 1) * questions_max)
    )
    return Effect.forEach(parts, ask, { concurrency: "unbounded", discard: true })
  })

  const soon = Effect.forkDaemon(Effect.interruptible(Effect.zipRight(turn, askAll)))

  // Whoever is interrupted after it was the first to ask has asked for the others too.
  return (...of) =>
    Effect.uninterruptibleMask((restore) => {
      const answer = Deferred.unsafeMake<Waking, StoreUnavailable>(FiberId.none)
      const isFirst = asked.push({ of, answer }) === 1
      return Effect.zipRight(isFirst ? soon : Effect.void, restore(Deferred.await(answer)))
    })
}
