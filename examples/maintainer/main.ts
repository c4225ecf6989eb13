/**
 * `npm start [DIR]`: the maintainer works on a real directory, and its runner is killed with -9 in the middle of a tool.
 *
 * This process is the supervisor: it starts the runner, follows the session, kills the runner, starts another one, goes on
 * at the same cursor, and holds what the journal says against what is outside of it. Exit code 0 means that it all held.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Clock, Context, Effect, Layer, Stream } from "effect"
import { Client } from "../../src/client/index.ts"
import type { Entry } from "../../src/domain/Entry.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import type { FeedEvent } from "../../src/feed/index.ts"
import { Journal } from "../../src/journal/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { Maintainer, type Settings, type Witness } from "./agent.ts"
import * as Model from "./model.ts"
import * as Processes from "./processes.ts"
import * as Proof from "./proof.ts"
import * as Screen from "./screen.ts"

const { bold, dim, green, red } = Screen

/** What went wrong before there was anything to prove. */
class Unusable extends Error {}

const rootOf = (name: string): string => {
  try {
    const root = fs.realpathSync(name)
    fs.readdirSync(root)
    return root
  } catch {
    throw new Unusable(`${name} is no directory that can be read: name another one, as in \`npm start -- DIR\``)
  }
}

/** Where store and workspace go: beside us if we may write there, else among the temporary files of this user. */
const stateOf = (): string => {
  const wanted = path.resolve(".perdure", "maintainer")
  try {
    fs.mkdirSync(wanted, { recursive: true })
    fs.accessSync(wanted, fs.constants.W_OK | fs.constants.X_OK)
    return wanted
  } catch {
    const own = path.join(os.tmpdir(), `perdure-maintainer-${os.userInfo().uid}`)
    fs.mkdirSync(own, { recursive: true, mode: 0o700 })
    return own
  }
}

const shown = (file: string): string => {
  const relative = path.relative(process.cwd(), file)
  return relative === "" ? "." : relative.startsWith("..") ? file : relative
}

const witnessOf = (file: string): ReadonlyArray<Witness> =>
  fs.existsSync(file)
    ? fs
        .readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Witness)
    : []

/** Follows the session from a cursor until `stop` says so. Returns the cursor to go on from. */
const follow = (
  directory: string,
  session: string,
  after: string | undefined,
  screen: ReturnType<typeof Screen.make>,
  stop: (event: FeedEvent) => boolean
) =>
  Effect.gen(function* () {
    const client = Context.get(yield* Layer.build(Runner.layerLocal({ directory })), Client.Client)
    const hold = yield* client.session(Maintainer, session)
    // The same id each time: the message is there once, however often it is sent.
    yield* hold.send("Look at this directory and write a short report about it.", { id: "the-task" })
    let cursor = after
    yield* hold.feed({ after }).pipe(
      Stream.takeUntil((event) => {
        cursor = event.cursor
        screen.show(event)
        return stop(event)
      }),
      Stream.runDrain
    )
    return cursor
  }).pipe(Effect.scoped)

const isCount = (entry: Entry): entry is Extract<Entry, { _tag: "StepIntended" }> =>
  entry._tag === "StepIntended" && JSON.stringify(entry.input).includes('"count-lines"')

const program = Effect.gen(function* () {
  const choice = Model.choose()
  Screen.line(
    choice.provider === "script"
      ? `${bold("maintainer")} ${dim("·")} no ANTHROPIC_API_KEY or OPENAI_API_KEY: a scripted model speaks; all else is real`
      : `${bold("maintainer")} ${dim("·")} ${choice.model} of ${choice.provider} speaks`
  )
  const begin = yield* Clock.currentTimeMillis
  const root = yield* Effect.try({ try: () => rootOf(process.argv[2] ?? "."), catch: (cause) => cause })
  const directory = yield* Effect.try({ try: stateOf, catch: (cause) => cause })
  const session = `maintain-${new Date(begin).toISOString().replace(/\D/g, "").slice(0, 17)}`
  const workspace = path.join(directory, "workspaces", session)
  fs.mkdirSync(workspace, { recursive: true })
  const witness = path.join(workspace, "witness.jsonl")
  const settings: Settings & { readonly directory: string } = { root, workspace, witness, run: session, directory }
  Screen.line(dim(`looks at ${root}, writes to ${shown(workspace)}`))

  const screen = Screen.make()
  let left = 0

  // --- The first life: until a command is running ---

  Screen.line(dim("starting a runner"))
  const first = yield* started(settings)
  Screen.line(dim(`runner ${first.pid} is up\n`))
  /** Lines of progress of the calls that count, by step. */
  const counting = new Map<string, number>()
  let killed: string | null = null
  let over = false
  const ended = (event: FeedEvent) => {
    over ||= event._tag === "Entry" && event.recorded.entry._tag === "TurnEnded"
    return over
  }
  const cursor = yield* follow(directory, session, undefined, screen, (event) => {
    if (event._tag === "Entry" && isCount(event.recorded.entry)) counting.set(event.recorded.entry.step, 0)
    if (event._tag === "Delta" && event.channel === "progress" && counting.has(event.step)) {
      const lines = counting.get(event.step)! + event.text.split("\n").length - 1
      counting.set(event.step, lines)
      // It has begun and is not done.
      if (lines >= 2) killed = event.step
    }
    return killed !== null || ended(event)
  })

  if (killed !== null) {
    const before = Processes.marked(session).filter((pid) => pid !== first.pid)
    first.kill("SIGKILL")
    yield* first.ended
    const { left: survivors, ms } = yield* Processes.gone(session)
    left += survivors
    Screen.line(`\n${red(`kill -9 ${first.pid}`)}  the runner, in the middle of run_command`)
    Screen.line(
      dim(
        `${before.length} processes of its command were at work; ${survivors === 0 ? "none" : survivors} left after ${ms} ms`
      )
    )

    // --- The second life: the same session, the same cursor ---

    Screen.line(dim("starting another one"))
    const died = yield* Clock.currentTimeMillis
    const second = yield* started(settings)
    Screen.line(
      dim(
        `runner ${second.pid} is up, ${(yield* Clock.currentTimeMillis) - died} ms later; going on at cursor ${cursor}\n`
      )
    )
    if (!over) yield* follow(directory, session, cursor, screen, ended)
    second.kill("SIGTERM")
    yield* second.ended
  } else {
    first.kill("SIGTERM")
    yield* first.ended
  }
  left += (yield* Processes.gone(session)).left

  // --- The proof ---

  const key = SessionKey.parse(`default/${session}`)
  const journal = yield* Effect.map(Layer.build(Runner.layerReader({ directory })), Context.get(Journal))
  const entries = [...(yield* Stream.runCollect(journal.read(key, 0)))]
  const { problems } = yield* journal.verify(key)
  const file = path.join(workspace, "REPORT.md")
  const findings = Proof.find({
    entries,
    problems: problems.length,
    witness: witnessOf(witness),
    printed: screen.printed,
    killed,
    left,
    report: fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null
  })
  const holds = findings.every((finding) => finding.holds)
  Screen.line(`\n${bold("Proof")} ${dim("from the journal, and from outside of it")}`)
  for (const { holds, says } of findings) Screen.line(`  ${holds ? green("✓") : red("✗")} ${says}`)
  const took = ((yield* Clock.currentTimeMillis) - begin) / 1000
  Screen.line(
    `\n${holds ? green("It holds.") : red("It does not hold.")} ${dim(`${took.toFixed(1)} s · report: ${shown(file)}`)}`
  )
  Screen.line(dim(`look closer: npx tsx src/cli/main.ts trace ${session} --directory ${shown(directory)}`))
  return holds ? 0 : 1
}).pipe(Effect.scoped)

/** A runner that does not outlive the program. */
const started = (settings: Parameters<typeof Processes.start>[0]) =>
  Effect.acquireRelease(Processes.start(settings), (runner) => Effect.sync(() => runner.kill("SIGKILL")))

const fiber = Effect.runFork(program.pipe(Effect.timeout("4 minutes")))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.on("SIGINT", stop)
process.on("SIGTERM", stop)
process.stdout.on("error", stop)
fiber.addObserver((exit) => {
  if (exit._tag === "Success") process.exit(exit.value)
  const { cause } = exit
  if (cause._tag === "Fail")
    process.stderr.write(`\nmaintainer: ${cause.error instanceof Error ? cause.error.message : String(cause.error)}\n`)
  else process.stderr.write(`\nmaintainer: stopped\n`)
  process.exit(cause._tag === "Fail" ? 2 : 130)
})
