/**
 * The commands and their options. What a command does is loaded when it is asked for: the rest of Perdure takes longer to
 * load than most commands take to run.
 */
import { Args, Command, HelpDoc, Options, ValidationError } from "@effect/cli"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import { Cause, Config, Console, Effect, Exit, Fiber, Layer, Logger, LogLevel, Option } from "effect"
import { Ending } from "./Ending.ts"
import * as ExitCode from "./ExitCode.ts"
import * as Output from "./Output.ts"
import * as Problem from "./Problem.ts"

// --- Options ---

const flag = (name: string, says: string) => Options.boolean(name).pipe(Options.withDescription(says))
const text = (name: string, pseudo: string, says: string) =>
  Options.text(name).pipe(Options.withPseudoName(pseudo), Options.withDescription(says))

const json = flag("json", "Data for programs: one JSON object a line; errors too, on stderr")
const debug = flag("debug", "Show where an error came from")

const where = {
  directory: text("directory", "DIR", "The store's directory; .perdure or PERDURE_DIRECTORY unless told").pipe(
    Options.withAlias("d"),
    Options.optional
  ),
  database: Options.redacted("database").pipe(
    Options.withPseudoName("URL"),
    Options.withDescription(
      "The store's Postgres. Better as PERDURE_DATABASE_URL: others on the machine can read command lines"
    ),
    Options.optional
  ),
  namespace: text("namespace", "NAME", "The tenant whose sessions are meant").pipe(Options.withDefault("default"))
}
const common = { ...where, json, debug }

const module = Args.text({ name: "MODULE" }).pipe(
  Args.withDescription("A TypeScript or JavaScript file that exports agents, and as `layer` what they need")
)
const session = Args.text({ name: "SESSION" }).pipe(Args.withDescription("The session's id"))
const message = text("message", "TEXT", "The message; - reads it from stdin").pipe(
  Options.withAlias("m"),
  Options.optional
)
const parts = text("parts", "JSON", "The message as JSON: a text, or an array of parts; - reads it from stdin").pipe(
  Options.optional
)
const id = text("id", "ID", "The command's id: sent again with the same one, it is the same command").pipe(
  Options.optional
)

// --- Commands ---

type Work = Effect.Effect<unknown, unknown, Ending>

/** Colours are for terminals, and for those who have not said no. */
const colours = Effect.map(
  Effect.orDie(Config.option(Config.string("NO_COLOR"))),
  (no) => Output.isTerminal() && Option.getOrElse(no, () => "") === ""
)

/** Runs what is loaded on demand. */
const lazily =
  <O extends object, M>(load: () => Promise<M>, main: (module: M) => (options: O) => Work) =>
  (options: Omit<O, "colours">): Work =>
    Effect.gen(function* () {
      const loaded = yield* Effect.promise(load)
      return yield* main(loaded)({ ...options, colours: yield* colours } as unknown as O)
    })

const run = Command.make(
  "run",
  {
    module,
    session: text("session", "ID", "The session to start, or to go on with").pipe(Options.withAlias("s")),
    message,
    parts,
    agent: text("agent", "NAME", "Which of the module's agents").pipe(Options.optional),
    id,
    ...common
  },
  lazily(
    () => import("./commands/run.ts"),
    ({ main }) => main
  )
).pipe(
  Command.withDescription(
    "Starts a session or goes on with it, and follows its turn to the end. Without a message it goes on with unfinished work"
  )
)

const serve = Command.make(
  "serve",
  { module, ...common },
  lazily(
    () => import("./commands/serve.ts"),
    ({ main }) => main
  )
).pipe(Command.withDescription("Hosts the module's agents until SIGTERM or Ctrl-C, then drains"))

const ls = Command.make(
  "ls",
  {
    agent: text("agent", "NAME", "Only sessions of this agent").pipe(Options.optional),
    status: Options.choice("status", ["active", "paused", "resting", "ended", "parked"]).pipe(
      Options.withDescription("Only sessions in this state"),
      Options.optional
    ),
    attributes: text("attribute", "NAME=VALUE", "Only sessions with this attribute; may be repeated").pipe(
      Options.repeated
    ),
    limit: Options.integer("limit").pipe(Options.withDescription("How many at most"), Options.withDefault(100)),
    allNamespaces: flag("all-namespaces", "Of all tenants"),
    ...common
  },
  lazily(
    () => import("./commands/ls.ts"),
    ({ main }) => main
  )
).pipe(Command.withDescription("Lists sessions, newest first"))

const trace = Command.make(
  "trace",
  { session, ...common },
  lazily(
    () => import("./commands/trace.ts"),
    ({ main }) => main
  )
).pipe(Command.withDescription("Shows a session's turns and steps: attempts, duration, tokens, cost, outcome"))

const tail = Command.make(
  "tail",
  {
    session,
    after: text("after", "CURSOR", "Go on behind this place; from the start unless told").pipe(Options.optional),
    noFollow: flag("no-follow", "Show what there is, and do not wait for more"),
    ...common
  },
  lazily(
    () => import("./commands/tail.ts"),
    ({ main }) => main
  )
).pipe(Command.withDescription("Follows a session's feed live"))

const exported = Command.make(
  "export",
  {
    session,
    verify: flag("verify", "Check the audit chain: the verdict goes to stderr, exit code 1 if it is broken"),
    ...common
  },
  lazily(
    () => import("./commands/export.ts"),
    ({ main }) => main
  )
).pipe(Command.withDescription("Writes a session's journal as JSON lines: seq, epoch, at, hash, entry"))

const none = { message: Option.none(), parts: Option.none(), agent: Option.none(), reason: Option.none() } as const
const reason = text("reason", "TEXT", "Why, for the journal").pipe(Options.optional)

const send = Command.make(
  "send",
  {
    session,
    message,
    parts,
    agent: text("agent", "NAME", "Create the session with this agent if it is not there").pipe(Options.optional),
    whenBusy: Options.choice("when-busy", ["enqueue", "reject", "interrupt"]).pipe(
      Options.withDescription("What happens if a turn is running"),
      Options.withDefault("enqueue" as const)
    ),
    id,
    ...common
  },
  (options) =>
    lazily(
      () => import("./commands/command.ts"),
      ({ send }) => send
    )({ ...none, ...options })
).pipe(Command.withDescription("Sends a message to a session, through the runner that is up"))

const interrupt = Command.make("interrupt", { session, reason, id, ...common }, (options) =>
  lazily(
    () => import("./commands/command.ts"),
    ({ interrupt }) => interrupt
  )({ ...none, whenBusy: "enqueue" as const, ...options })
).pipe(Command.withDescription("Ends the running turn and all that it started; the session goes on"))

const cancel = Command.make("cancel", { session, reason, id, ...common }, (options) =>
  lazily(
    () => import("./commands/command.ts"),
    ({ cancel }) => cancel
  )({ ...none, whenBusy: "enqueue" as const, ...options })
).pipe(Command.withDescription("Ends a session and all that it started"))

const amount = (name: string, says: string) =>
  Options.float(name).pipe(Options.withPseudoName("N"), Options.withDescription(says), Options.optional)

const raise = Command.make(
  "raise",
  {
    session,
    usd: amount("usd", "So many US dollars more"),
    tokens: amount("tokens", "So many tokens more"),
    modelCalls: amount("model-calls", "So many model calls more"),
    toolCalls: amount("tool-calls", "So many tool calls more"),
    steps: amount("steps", "So many steps more"),
    wall: text("wall", "DURATION", 'So much running time more, e.g. "10 minutes"').pipe(Options.optional),
    reason,
    id,
    ...common
  },
  lazily(
    () => import("./commands/budget.ts"),
    ({ raise }) => raise
  )
).pipe(Command.withDescription("Allows a session more than its budget; a turn that waits for just that goes on"))

const decide = Command.make(
  "decide",
  {
    session,
    pause: Args.text({ name: "PAUSE" }).pipe(Args.withDescription("What waits, as `trace` and `tail` name it: p1")),
    decision: Args.choice(
      [
        ["proceed", "proceed" as const],
        ["end", "end" as const]
      ],
      { name: "DECISION" }
    ),
    reason,
    id,
    ...common
  },
  lazily(
    () => import("./commands/budget.ts"),
    ({ decide }) => decide
  )
).pipe(Command.withDescription("Decides what a session waits for: proceed, or end"))

const settle = Command.make(
  "settle",
  {
    session,
    step: Args.text({ name: "STEP" }).pipe(Args.withDescription("The step, as `trace` and `tail` number it")),
    verdict: Args.choice(
      [
        ["happened", "happened" as const],
        ["did-not-happen", "did not happen" as const],
        ["retry", "retry" as const]
      ],
      { name: "VERDICT" }
    ),
    result: text("result", "JSON", "What it gave, if it happened").pipe(Options.optional),
    id,
    ...common
  },
  lazily(
    () => import("./commands/doubt.ts"),
    ({ settle }) => settle
  )
).pipe(Command.withDescription("Says what became of a step in doubt: happened, did-not-happen, or retry"))

const parked = {
  session,
  step: text("step", "STEP", "Only this one; all that is parked unless told").pipe(Options.optional),
  reason,
  id,
  ...common
}

const revive = Command.make(
  "revive",
  parked,
  lazily(
    () => import("./commands/doubt.ts"),
    ({ revive }) => revive
  )
).pipe(Command.withDescription("Tries again what is parked: steps that have ended their runner each time"))

const discard = Command.make(
  "discard",
  parked,
  lazily(
    () => import("./commands/doubt.ts"),
    ({ discard }) => discard
  )
).pipe(Command.withDescription("Gives up what is parked: it has failed, and the session goes on"))

const perdure = Command.make("perdure").pipe(
  Command.withDescription("Durable AI agent sessions: run them, host them, look into them"),
  Command.withSubcommands([
    run,
    serve,
    ls,
    trace,
    tail,
    exported,
    send,
    interrupt,
    cancel,
    raise,
    decide,
    settle,
    revive,
    discard
  ])
)

// --- The program ---

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer)

const usageOf = (error: ValidationError.ValidationError): Problem.Problem => {
  const message = Output.withoutColours(HelpDoc.toAnsiText(error.error)).replace(/\s+/g, " ").trim()
  return { error: "Usage", message: `${message}; see --help`, exitCode: ExitCode.usage, detail: "" }
}

const problemOf = (cause: Cause.Cause<unknown>): Problem.Problem => {
  const error = Cause.squash(cause)
  return ValidationError.isValidationError(error) ? usageOf(error) : Problem.of(cause)
}

/**
 * Runs the program. `signal` gives the exit code of a signal when one has come.
 *
 * @param argv as Node gives it
 */
export const main = (
  argv: ReadonlyArray<string>,
  version: string,
  signal: Effect.Effect<number>
): Effect.Effect<number> =>
  Effect.gen(function* () {
    const asJson = argv.includes("--json")
    const console = yield* Effect.consoleWith(Effect.succeed)
    let onSignal: number | null = null
    const program = Command.run(perdure, { name: "perdure", version })(argv).pipe(
      Effect.provideService(Ending, {
        onSignal: (code) =>
          Effect.sync(() => {
            onSignal = code
          })
      }),
      Effect.provide(platform),
      // Help is for whoever asks, in colours for terminals; what is wrong is said once, below.
      Console.withConsole({
        ...console,
        log: (...words) => {
          const said = words.map(String).join(" ")
          return Effect.ignore(Output.out(`${Output.isTerminal() ? said : Output.withoutColours(said)}\n`))
        },
        error: () => Effect.void
      })
    )
    const fiber = yield* Effect.fork(program)
    const first = yield* Effect.raceFirst(Fiber.await(fiber), signal)
    if (typeof first === "number") {
      yield* Fiber.interrupt(fiber)
      return onSignal ?? first
    }
    if (Exit.isSuccess(first)) return ExitCode.ok
    const problem = problemOf(first.cause)
    if (problem.error === "ReaderGone") return ExitCode.ok
    yield* Output.err(Problem.show(problem, { json: asJson, debug: argv.includes("--debug") }))
    return problem.exitCode
  }).pipe(Logger.withMinimumLogLevel(LogLevel.Warning), Effect.provide(Logger.replace(Logger.defaultLogger, toStderr)))

/** What the runtime has to say belongs beside the answer, not into it. */
const toStderr = Logger.map(Logger.logfmtLogger, (line) => void process.stderr.write(`${line}\n`))
