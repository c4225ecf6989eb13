import type { SessionView } from "../Protocol.ts"
import { isActive, type SessionState } from "../State.ts"

/** What a client may know of a session's state. */
export const viewOf = (state: SessionState, waiting: SessionView["waiting"]): SessionView => ({
  agent: state.agent,
  agentVersion: state.agentVersion,
  status: state.ended !== null ? "ended" : isActive(state) ? "active" : "resting",
  seq: state.seq,
  turns: state.turns,
  turn: state.turn,
  queued: state.queue.length,
  open: Object.values(state.open),
  waiting,
  usage: state.usage,
  outcome: state.ended
})
