/**
 * The one table of what telemetry is called: spans, attributes, metrics.
 *
 * Names follow OpenTelemetry's semantic conventions for generative AI where these have a word
 * (https://opentelemetry.io/docs/specs/semconv/gen-ai/), and are ours under `perdure.` where they have none. What is
 * named here is a contract with dashboards and alerts: a name is added, not changed.
 */

/** Span names. A name says the operation and the one thing that tells series apart, never an id. */
export const SpanName = {
  /** One turn of a session. Root of its trace; a turn that moves to another runner goes on in the same trace. */
  turn: (agent: string) => `invoke_agent ${agent}`,
  /** One attempt of a model step. */
  modelCall: (model: string | undefined) => (model === undefined ? "chat" : `chat ${model}`),
  /** One attempt of a tool step. */
  toolCall: (tool: string) => `execute_tool ${tool}`,
  /** One attempt of a step that is neither. */
  step: (name: string) => `perdure.step ${name}`,
  /** One flush of the journal: a group commit. */
  append: "perdure.append",
  /** From the snapshot and the entries after it to a state: a session that wakes. */
  wake: "perdure.wake"
} as const

/** Events on spans. */
export const EventName = {
  /** On a turn: a step of it has waited for a slot of its pool, and has one. */
  poolWaited: "perdure.pool.waited",
  /** On a turn: an attempt of a step of it has failed, and a policy has decided what is next. */
  attemptFailed: "perdure.attempt.failed",
  /** On a turn: it waits for somebody's decision. */
  paused: "perdure.paused",
  /** On a turn: somebody has decided, or the deadline has. */
  resumed: "perdure.resumed",
  /** On a turn: something was noted of it: a limit that was met, a loop, that its budget nears its end. */
  noted: "perdure.noted"
} as const

/** Attribute keys of spans and metrics. */
export const Attribute = {
  /** `invoke_agent`, `chat` or `execute_tool`. */
  operation: "gen_ai.operation.name",
  /** `anthropic`, `openai`, … */
  provider: "gen_ai.provider.name",
  agent: "gen_ai.agent.name",
  agentVersion: "gen_ai.agent.version",
  /** The session's id. */
  conversation: "gen_ai.conversation.id",
  requestModel: "gen_ai.request.model",
  responseModel: "gen_ai.response.model",
  responseId: "gen_ai.response.id",
  /** An array of one. */
  finishReasons: "gen_ai.response.finish_reasons",
  /** All input, cached or not. */
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens",
  cacheReadTokens: "gen_ai.usage.cache_read.input_tokens",
  cacheWriteTokens: "gen_ai.usage.cache_creation.input_tokens",
  reasoningTokens: "gen_ai.usage.reasoning.output_tokens",
  /** Of the token metrics: `input` or `output`. */
  tokenType: "gen_ai.token.type",
  /** Of the cached tokens: `read` or `write`. */
  cache: "perdure.cache",
  tool: "gen_ai.tool.name",
  /** The provider's id of the call. */
  toolCall: "gen_ai.tool.call.id",
  /** `function`: our tools are run by the runner. */
  toolType: "gen_ai.tool.type",
  /** The failure's class, or the error's tag. Only on what failed. */
  errorType: "error.type",
  namespace: "perdure.namespace",
  /** 1, 2, 3 … */
  turn: "perdure.turn",
  step: "perdure.step",
  /** `model`, `tool` or `custom`. */
  stepKind: "perdure.step.kind",
  /** 1 for the first try. */
  attempt: "perdure.attempt",
  /** The fencing number of the shard's owner: two in one trace say that the turn moved. */
  epoch: "perdure.epoch",
  /** How a step or a turn ended: the tag of its outcome. */
  outcome: "perdure.outcome",
  /** The tool's or the model step's name, where no span has it. */
  stepName: "perdure.step.name",
  /** A pause's name in its session. */
  pause: "perdure.pause",
  /** What was noted, or why there is a pause: `budget`, `loop`, `limit`, … */
  reason: "perdure.reason",
  /** `proceed` or `end`. */
  decision: "perdure.decision",
  /** The runner's pool that a step runs in. */
  pool: "perdure.pool",
  /** What shares a provider's limit: its name in `RateLimits`, or the model's. */
  lane: "perdure.lane",
  /** A model's name in `Models.layer`; `default` where it has none. */
  model: "perdure.model",
  /** How long a step waited for its slot, in milliseconds. */
  waitMs: "perdure.wait.ms",
  /** The closed union `FailureClass`. */
  failureClass: "perdure.failure.class",
  /** What is done after a failed attempt: `retry`, `fallback`, `compact`, `ask`, `fail`. */
  plan: "perdure.policy.plan",
  /** The policy and its rule that decided so. */
  policy: "perdure.policy.name",
  rule: "perdure.policy.rule",
  /** How long until the next attempt, in milliseconds. */
  retryMs: "perdure.retry.ms",
  /** What the next attempt is given: `original`, `continue`, `repaired`, … */
  nextInput: "perdure.retry.input",
  /** Sessions, entries and bytes of one flush, or entries that a wake folded. */
  sessions: "perdure.sessions",
  entries: "perdure.entries",
  bytes: "perdure.bytes",
  /** US dollars, as a number. Absent where the price is unknown. */
  usd: "perdure.cost.usd"
} as const

/** Attributes that hold what people and models said: on a span only when `CaptureContent` is on. */
export const ContentAttribute = {
  system: "gen_ai.system_instructions",
  input: "gen_ai.input.messages",
  output: "gen_ai.output.messages",
  toolArguments: "gen_ai.tool.call.arguments",
  toolResult: "gen_ai.tool.call.result"
} as const
export type ContentAttribute = keyof typeof ContentAttribute

/** Metrics: name, unit (UCUM) and what one is. Effect has no units, so that they go as the tag `unit`. */
export const MetricName = {
  steps: { name: "perdure.steps", unit: "{step}", description: "Steps that ended, by kind and outcome" },
  stepDuration: { name: "perdure.step.duration", unit: "s", description: "Duration of a step's last attempt, by kind" },
  failures: { name: "perdure.failures", unit: "{attempt}", description: "Failed attempts, by kind and failure class" },
  notes: {
    name: "perdure.notes",
    unit: "{note}",
    description: "Limits, loops, last words and pauses of turns, by agent and reason"
  },
  turns: { name: "perdure.turns", unit: "{turn}", description: "Turns that ended, by agent and outcome" },
  poolRunning: { name: "perdure.pool.running", unit: "{step}", description: "Steps that hold a slot, by pool" },
  poolWaiting: { name: "perdure.pool.waiting", unit: "{step}", description: "Steps that wait for a slot, by pool" },
  laneWaiting: { name: "perdure.lane.waiting", unit: "{call}", description: "Model calls that wait, by lane" },
  laneRunning: { name: "perdure.lane.running", unit: "{call}", description: "Model calls under way, by lane" },
  laneWait: { name: "perdure.lane.wait", unit: "s", description: "Time that model calls have waited, by lane" },
  laneBlocked: { name: "perdure.lane.blocked", unit: "s", description: "How long a provider wants to hear nothing" },
  breakerOpen: { name: "perdure.breaker.open", unit: "1", description: "1 while a model is left alone, by model" },
  poolWait: { name: "perdure.pool.wait", unit: "s", description: "Time that steps have waited for a slot, by pool" },
  appendDuration: { name: "perdure.append.duration", unit: "s", description: "Time from append to durable" },
  appendEntries: { name: "perdure.append.entries", unit: "{entry}", description: "Entries that became durable" },
  tokenUsage: {
    name: "gen_ai.client.token.usage",
    unit: "{token}",
    description: "Tokens of a model call, by type and model"
  },
  cachedTokens: {
    name: "perdure.cached.tokens",
    unit: "{token}",
    description: "Input tokens read from, or written to, a provider's cache, by model"
  },
  modelDuration: {
    name: "gen_ai.client.operation.duration",
    unit: "s",
    description: "Duration of a model call, by model"
  },
  cost: { name: "perdure.cost", unit: "USD", description: "Cost of model calls, by model" }
} as const
