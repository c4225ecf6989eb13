/** The session's row: what can be searched without reading a journal. Written when a turn begins or ends. */
import type { Entry } from "../../domain/Entry.ts"
import { AgentName } from "../../domain/Id.ts"
import { totalTokens } from "../../domain/Usage.ts"
import type { SessionRow } from "../../store/index.ts"
import { type SessionState, statusOf } from "../State.ts"

const worthWriting = (entry: Entry): boolean =>
  entry._tag === "SessionCreated" || entry._tag === "TurnEnded" || entry._tag === "SessionEnded"

/** The new row, or `undefined` where nothing searchable has changed. */
export const infoOf = (
  before: SessionState,
  after: SessionState,
  entries: ReadonlyArray<Entry>
): SessionRow | undefined =>
  statusOf(before) === statusOf(after) && !entries.some(worthWriting)
    ? undefined
    : {
        agent: AgentName.make(after.agent),
        agentVersion: after.agentVersion,
        status: statusOf(after),
        attributes: {
          ...after.attributes,
          "perdure.turns": String(after.turns),
          "perdure.steps": String(after.steps),
          "perdure.tokens": String(totalTokens(after.usage)),
          "perdure.usd": String(after.usage.usd ?? 0),
          ...(after.lastTool === null ? {} : { "perdure.lastTool": after.lastTool })
        },
        createdAt: after.createdAt,
        updatedAt: after.updatedAt
      }
