/** What can be wrong with a command line and the module that it names. Messages never show values of the environment. */
import { Schema } from "effect"

/** An option or argument does not say what it should. */
export class BadArgument extends Schema.TaggedError<BadArgument>()("BadArgument", {
  argument: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.argument}: ${this.reason}`
  }
}

/** There is no such file. */
export class ModuleNotFound extends Schema.TaggedError<ModuleNotFound>()("ModuleNotFound", { path: Schema.String }) {
  override get message() {
    return `there is no module ${this.path}: give the path of a TypeScript or JavaScript file that exports an agent`
  }
}

/** The file is there and cannot be loaded: it does not parse, or something that it imports or does fails. */
export class ModuleBroken extends Schema.TaggedError<ModuleBroken>()("ModuleBroken", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path} cannot be loaded: ${this.reason}`
  }
}

/** The module exports nothing that is an agent. */
export class ModuleWithoutAgent extends Schema.TaggedError<ModuleWithoutAgent>()("ModuleWithoutAgent", {
  path: Schema.String,
  /** What it does export. */
  exports: Schema.Array(Schema.String)
}) {
  override get message() {
    const found = this.exports.length === 0 ? "nothing" : this.exports.slice(0, 8).join(", ")
    return `${this.path} exports no agent (it exports ${found}): write \`export const NAME = Agent.make("name", …)\` and \`export const layer = …\` with what it needs`
  }
}

/** The module exports several agents, and it is not clear which one is meant. */
export class AgentNotNamed extends Schema.TaggedError<AgentNotNamed>()("AgentNotNamed", {
  path: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.path} exports ${this.known.length} agents: name one of them with --agent: ${this.known.join(", ")}`
  }
}

/** The module exports agents, but not this one. */
export class AgentNotInModule extends Schema.TaggedError<AgentNotInModule>()("AgentNotInModule", {
  path: Schema.String,
  agent: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no agent "${this.agent}" in ${this.path}: it exports ${this.known.join(", ")}`
  }
}

/** What the agents need cannot be built: a setting is missing, or the module's layer does not provide it. */
export class LayerFailed extends Schema.TaggedError<LayerFailed>()("LayerFailed", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `the layer of ${this.path} does not give its agents what they need: ${this.reason}`
  }
}

/** No runner is up that could do what was asked. */
export class NoRunner extends Schema.TaggedError<NoRunner>()("NoRunner", { reason: Schema.String }) {
  override get message() {
    return `no runner is up: ${this.reason}`
  }
}

/** A journal is not as it was written. */
export class ChainBroken extends Schema.TaggedError<ChainBroken>()("ChainBroken", {
  session: Schema.String,
  problems: Schema.Int
}) {
  override get message() {
    return `the chain of session ${this.session} is broken in ${this.problems} ${this.problems === 1 ? "place" : "places"}: restore the store from a backup, and find out who changed it`
  }
}

/** Whoever read our output has gone (EPIPE): nobody is left to talk to. */
export class ReaderGone extends Schema.TaggedError<ReaderGone>()("ReaderGone", {}) {
  override get message() {
    return "the reader of the output has gone"
  }
}
