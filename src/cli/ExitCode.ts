/** What the program's exit code says. Scripts depend on these: they do not change. */

/** It was done; for `run`: the turn completed. */
export const ok = 0
/** The turn was interrupted, met a limit, or failed; `export --verify`: the chain is broken. */
export const failed = 1
/** Bad usage or input: nothing was done. */
export const usage = 2
/** The store cannot be reached, used or shared, or what it holds cannot be read. */
export const store = 3
/** No runner is up that could do it. */
export const noRunner = 4
/** No such session. */
export const notFound = 5
/** A bug of Perdure's. */
export const bug = 70
/** A runner of a cluster was taken for dead by the others, and ended itself. Start it again. */
export const lost = 75
/** A runner's main loop hung, and its watchdog ended it. Start it again. */
export const hung = 76
/** Ctrl-C. What was begun goes on later. */
export const interrupted = 130
/** SIGTERM. What was begun goes on later. */
export const terminated = 143

const byTag: Readonly<Record<string, number>> = {
  TurnNotCompleted: failed,
  ChainBroken: failed,
  InvalidInput: usage,
  InvalidCursor: usage,
  MessageTooLarge: usage,
  CommandConflict: usage,
  AgentMismatch: usage,
  SessionBusy: usage,
  SessionClosed: usage,
  NothingToDecide: usage,
  MailboxFull: usage,
  BadArgument: usage,
  ModuleNotFound: usage,
  ModuleBroken: usage,
  ModuleWithoutAgent: usage,
  AgentNotNamed: usage,
  AgentNotInModule: usage,
  LayerFailed: usage,
  ConfigError: usage,
  SettingInvalid: usage,
  SettingsDiffer: usage,
  TrafficMisconfigured: usage,
  AgentUnfit: usage,
  PoolUnknown: usage,
  PoolInvalid: usage,
  StoreUnavailable: store,
  StoreUnusable: store,
  DirectoryInUse: store,
  BlobMissing: store,
  EntryUnreadable: store,
  SessionParked: store,
  SocketServerError: store,
  NoRunner: noRunner,
  RunnerUnreachable: noRunner,
  AgentUnknown: noRunner,
  SessionNotFound: notFound
}

/** The code of an error, by its tag. */
export const of = (tag: string): number => byTag[tag] ?? bug
