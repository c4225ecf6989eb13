import type { SessionView } from "../Protocol.ts"
import { type SessionState, statusOf } from "../State.ts"

/** What a client may know of a session's state. */
export const viewOf = (state: SessionState, waiting: SessionView["waiting"]): SessionView => ({
  agent: state.agent,
  agentVersion: state.agentVersion,
  status: statusOf(state),
  seq: state.seq,
  turns: state.turns,
  turn: state.turn,
  queued: state.queue.length,
  open: Object.values(state.open),
  waiting,
  pauses: state.turn?.pauses ?? [],
  doubts: Object.values(state.doubts),
  used: state.used,
  usage: state.usage,
  outcome: state.ended
})
