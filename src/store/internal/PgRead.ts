/**
 * Reads that are asked for at once go together. A runner that takes over reads dozens of sessions at once, and a statement
 * costs each side more than the rows do: half a millisecond in all, with both on one machine.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import { Deferred, Effect, Exit, FiberId } from "effect"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import type { Store, StoredRow } from "../Store.ts"
import { guard } from "./PgFailure.ts"
import * as Rows from "./Rows.ts"
import { turn } from "./turn.ts"

type Read = Store["Type"]["read"]

interface Question {
  readonly of: Parameters<Read>
  readonly answer: Deferred.Deferred<ReadonlyArray<StoredRow>, StoreUnavailable>
}

/** What a statement answers is in memory at once. */
const questions_max = 16

/** @param alone answers one */
export const make = (sql: SqlClient.SqlClient, alone: Read): Read => {
  const answers = (questions: ReadonlyArray<Question>) => {
    if (questions.length === 1) return Effect.map(alone(...questions[0]!.of), (rows) => [rows])
    const column = (index: 0 | 1 | 2 | 3) => questions.map((question) => question.of[index])
    return guard("read")(
      sql<Rows.JournalColumns & { readonly question: unknown }>`
        SELECT q.question, j.seq, j.epoch, j.at, j.tag, j.command, j.payload, j.digest, j.chain
        FROM unnest(${column(0)}::text[], ${column(1)}::text[], ${column(2)}::bigint[], ${column(3)}::bigint[])
          WITH ORDINALITY AS q (namespace, session, after, most, question)
        CROSS JOIN LATERAL (SELECT * FROM perdure_journal WHERE namespace = q.namespace AND session = q.session
          AND seq > q.after ORDER BY seq LIMIT q.most) AS j
        ORDER BY q.question, j.seq`
    ).pipe(
      Effect.map((rows) => {
        const found = questions.map((): Array<StoredRow> => [])
        for (const row of rows) found[Number(row.question) - 1]!.push(Rows.stored(row))
        return found
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
      const answer = Deferred.unsafeMake<ReadonlyArray<StoredRow>, StoreUnavailable>(FiberId.none)
      const isFirst = asked.push({ of, answer }) === 1
      return Effect.zipRight(isFirst ? soon : Effect.void, restore(Deferred.await(answer)))
    })
}
