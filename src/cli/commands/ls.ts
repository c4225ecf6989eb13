/** `perdure ls`: the sessions of a store, newest first. Wakes none. */
import { Effect, Option, Schema } from "effect"
import { AgentName, explain } from "../../domain/Id.ts"
import { type SessionInfo, type SessionStatus, Store } from "../../store/index.ts"
import { BadArgument } from "../CliError.ts"
import { instant, line, money, table } from "../internal/Format.ts"
import * as Output from "../Output.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options {
  readonly agent: Option.Option<string>
  readonly status: Option.Option<SessionStatus>
  readonly attributes: ReadonlyArray<string>
  readonly limit: number
  readonly allNamespaces: boolean
  readonly json: boolean
  readonly colours: boolean
}

const own = "perdure."

/** A session as data: what the runtime counts has its own place. */
const toJson = (info: SessionInfo) => ({
  namespace: info.namespace,
  session: info.session,
  agent: info.agent,
  agentVersion: info.agentVersion,
  status: info.status,
  turns: Number(info.attributes[`${own}turns`] ?? 0),
  steps: Number(info.attributes[`${own}steps`] ?? 0),
  tokens: Number(info.attributes[`${own}tokens`] ?? 0),
  usd: Number(info.attributes[`${own}usd`] ?? 0),
  lastTool: info.attributes[`${own}lastTool`] ?? null,
  createdAt: info.createdAt,
  updatedAt: info.updatedAt,
  attributes: Object.fromEntries(Object.entries(info.attributes).filter(([name]) => !name.startsWith(own)))
})

const attributesOf = (texts: ReadonlyArray<string>) =>
  Effect.forEach(texts, (text) => {
    const at = text.indexOf("=")
    return at > 0
      ? Effect.succeed([text.slice(0, at), text.slice(at + 1)] as const)
      : new BadArgument({
          argument: "--attribute",
          reason: `write NAME=VALUE, not ${JSON.stringify(text.slice(0, 80))}`
        })
  }).pipe(Effect.map((pairs) => Object.fromEntries(pairs)))

export const main = (options: Options) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const attributes = yield* attributesOf(options.attributes)
    const agent = yield* Effect.transposeMapOption(options.agent, (name) =>
      Schema.decodeUnknown(AgentName)(name).pipe(
        Effect.mapError((error) => new BadArgument({ argument: "--agent", reason: explain(error) }))
      )
    )
    const sessions = yield* Effect.flatMap(Store, (store) =>
      store.sessions({
        namespace: options.allNamespaces ? undefined : where.namespace,
        agent: Option.getOrUndefined(agent),
        status: Option.getOrUndefined(options.status),
        attributes,
        limit: options.limit
      })
    ).pipe(Effect.provide(Where.reader(where)))
    if (options.json) return yield* Output.out(sessions.map((info) => Output.json(toJson(info))).join(""))
    if (sessions.length === 0) return yield* Output.err("no sessions\n")
    const rows = sessions
      .map(toJson)
      .map((row) => [
        options.allNamespaces ? `${row.namespace}/${row.session}` : row.session,
        `${row.agent}@${line(row.agentVersion, 12)}`,
        row.status,
        String(row.turns),
        String(row.steps),
        money(row.usd),
        instant(row.updatedAt)
      ])
    const [head, ...rest] = table(
      ["SESSION", "AGENT", "STATUS", "TURNS", "STEPS", "COST", "UPDATED (UTC)"],
      rows,
      new Set([3, 4, 5])
    )
    return yield* Output.out(`${[Output.style(options.colours).dim(head!), ...rest].join("\n")}\n`)
  })
