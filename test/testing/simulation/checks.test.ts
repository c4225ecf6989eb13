/** Each check, on a history in which its invariant is broken: a check that can find nothing proves nothing. */
import { describe, expect, it } from "vitest"
import type { Invariant } from "../../../src/testing/internal/sim/checks/index.ts"
import type { Simulation } from "../../../src/testing/index.ts"
import {
  accepted,
  begun,
  created,
  entry,
  good,
  intended,
  key,
  Story,
  succeeded,
  text,
  turnEnded,
  turnStarted
} from "./story.ts"

const failed = (step: string, retryAt: number, attempt = 1, plan = "retry") =>
  entry({
    _tag: "AttemptFailed",
    step,
    attempt,
    startedAt: 0,
    failure: { class: "Overloaded", message: "" },
    retryAt,
    nextInput: "original",
    decided: { plan, policy: "p", rule: "r" }
  })

const errandOf = { process: "host-1.1", session: key, step: "2", kind: "tool", name: "look" } as const
const errandBegins = (attempt: number) => ({ _tag: "Began", ...errandOf, attempt, askedUnder: 1 }) as const
const errandOver = { _tag: "Performed", ...errandOf, attempt: 1, outcome: "interrupted" } as const

/** A run at whose end a timer had been due for so long; clocks of runners were set by so much meanwhile. */
const overdue = (lateMs: number, ...set: ReadonlyArray<readonly [runner: number, ms: number]>) => {
  const story = good()
  for (const [runner, ms] of set)
    story.tell({ _tag: "Fault", fault: JSON.stringify({ _tag: "Jump", at: 1, runner, ms }) })
  const due = 1_000_000
  const timer = { namespace: "default", session: "s", timer: "t", due }
  Object.assign(story.finished, { at: due + lateMs, timers: [timer] })
  return story
}

/** A step runs on another runner. */
const errand = () =>
  begun()
    .run("1", "busy", "model")
    .append(succeeded("1", 1, text("")), intended("2", "tool", "look"))
    .tell(errandBegins(1))

/** It is lost after a while in which nobody came or went, and the store did not hear so often of the runner that had it. */
const errandLost = (unheard: number) => {
  const story = begun().run("1", "busy", "model")
  story.now += 20_000
  story.append(succeeded("1", 1, text("")), intended("2", "tool", "look", 1, "never")).tell(errandBegins(1))
  for (let n = 0; n < unheard; n++)
    story.tell({ _tag: "Called", process: "host-1.1", operation: "heartbeat", outcome: "its answer is lost" })
  return story.tell(errandOver).append(entry({ _tag: "StepInDoubt", step: "2", attempt: 1 }), turnEnded(1))
}

/** It is over in the journal, then where it ran, and something had gone wrong before. */
const errandOverLater = (fault: Simulation.Fault) =>
  begun()
    .run("1", "busy", "model")
    .append(succeeded("1", 1, text("")), intended("2", "tool", "look"))
    .tell({ _tag: "Fault", fault: JSON.stringify(fault) }, errandBegins(1))
    .append(stepFailed("2"), turnEnded(1))
    .tell(errandOver)

const stepFailed = (step: string) =>
  entry({ _tag: "StepFailed", step, attempt: 1, startedAt: 0, failure: { class: "TimedOut", message: "" } })

/** A turn in its second step, a tool. */
const looking = (repeatable = "readonly") =>
  begun()
    .run("1", "busy", "model")
    .append(succeeded("1", 1, text("I look")), intended("2", "tool", "look", 1, repeatable))

const refused = (error: string, command = "m2") =>
  ({ _tag: "Refused", client: "client", session: key, command, error }) as const

const broken: ReadonlyArray<readonly [Invariant, string, () => Story, RegExp]> = [
  ["I1", "a command is acknowledged and lost", () => good().send("m2").ack("m2", 9), /m2 was acknowledged at 9/],
  [
    "I1",
    "a command is acknowledged before its commit",
    () =>
      new Story().append(created).send("m1").ack("m1", 2).append(accepted("m1"), turnStarted(1, "m1"), turnEnded(1)),
    /before that was committed/
  ],
  [
    "I1",
    "a command is accepted twice",
    () => good().append(accepted("m1"), turnStarted(2, "m1"), turnEnded(2)),
    /m1 is in the journal again at 9/
  ],
  ["I1", "a command is answered twice, differently", () => good().ack("m1", 3), /acknowledged at 2 and then at 3/],
  ["I1", "a command comes from nowhere", () => good().append(accepted("x")), /sent by nobody/],
  [
    "I1",
    "a command's text changes on its way",
    () =>
      new Story().append(created).send("m1", "yes").append(accepted("m1", "no"), turnStarted(1, "m1"), turnEnded(1)),
    /another content/
  ],
  [
    "I1",
    "a command that is sent again is taken for another",
    () => good().tell({ _tag: "Refused", client: "c", session: key, command: "m1", error: "CommandConflict" }),
    /refused as another one/
  ],
  [
    "I1",
    "a command is acknowledged, and refused when it is sent again",
    () => good().send("m1").tell({ _tag: "Refused", client: "c", session: key, command: "m1", error: "SessionBusy" }),
    /and is refused now/
  ],
  ["I2", "a step has two outcomes", () => good().append(succeeded("2")), /had its outcome already/],
  ["I2", "a step has an outcome and no intent", () => good().append(succeeded("7")), /never intended/],
  ["I2", "a step begins before its intent", () => new Story().append(created).run("1", "book"), /before its intent/],
  ["I2", "an attempt begins twice", () => good().run("1", "busy", "model"), /attempt 1 of step 1 .* began twice/],
  [
    "I2",
    "a step begins after its outcome, in the runner that wrote it",
    () => good().run("1", "busy", "model", 2),
    /after its outcome was committed/
  ],
  [
    "I2",
    "a success is told of what never ran",
    () => begun().append(succeeded("1", 1, text("hi")), turnEnded(1)),
    /and it had not/
  ],
  [
    "I3",
    "a stale epoch is written",
    () =>
      good()
        .own("runner-2.1", 2)
        .appendAs("runner-1.1", 1, entry({ _tag: "Noted", kind: "x", detail: null })),
    /under epoch 1, when 2 was current/
  ],
  [
    "I3",
    "a runner writes to another's shard",
    () =>
      good()
        .own("runner-2.1", 2)
        .appendAs("runner-1.1", 2, entry({ _tag: "Noted", kind: "x", detail: null })),
    /to the shard of runner-2.1/
  ],
  [
    "I4",
    "an entry is gone",
    () => {
      const story = good()
      story.entries.splice(4, 1)
      return story
    },
    /entry 5 was committed and is gone/
  ],
  [
    "I4",
    "an entry comes from nowhere",
    () => good().record(entry({ _tag: "Noted", kind: "x", detail: null })),
    /nobody committed entry 9/
  ],
  [
    "I4",
    "the chain is broken",
    () => {
      const story = good()
      story.finished.verified = new Map([[key, { entries: 7, redacted: 0, problems: [{ seq: 3, problem: "bad" }] }]])
      return story
    },
    /the chain is broken at 3/
  ],
  [
    "I5",
    "a tool that may not be repeated has its effect twice",
    () => good().effect("2", "book"),
    /had its effect twice/
  ],
  [
    "I5",
    "a tool is repeated because the runtime was lied to",
    () => {
      const story = begun()
        .run("1", "busy", "model")
        .append(succeeded("1", 1, text("I call")), intended("2", "tool", "book", 1, "idempotent"))
        .effect("2", "book")
        .effect("2", "book")
        .run("2", "book")
        .append(succeeded("2"), turnEnded(1))
      story.finished.tools = { book: "never" }
      return story
    },
    /may not be repeated/
  ],
  [
    "I5",
    "the idempotency key changes from one attempt to the next",
    () => good().effect("2", "book", "another key", 2),
    /another idempotency key/
  ],
  [
    "I5",
    "two steps have one idempotency key",
    () => good().effect("1", "book", "key of 2"),
    /had the idempotency key of default\/s 2/
  ],
  [
    "I5",
    "a step goes on when it is said to have failed",
    () => looking().run("2", "look").append(stepFailed("2"), turnEnded(1)).effect("2", "look"),
    /had its effect after StepFailed/
  ],
  [
    "I5",
    "what nobody has seen the end of is said to have failed",
    () => {
      const story = looking("never")
      const began = { process: story.process, session: key, step: "2", attempt: 1, kind: "tool", name: "look" } as const
      return story.tell({ _tag: "Began", ...began }).append(stepFailed("2"), turnEnded(1))
    },
    /is a guess/
  ],
  ["I6", "a reader misses an entry", () => begun().follow().readEntry(1).readEntry(3), /read entry 3 after entry 1/],
  ["I6", "a reader sees an entry twice", () => good().readEntry(7), /read entry 7 after entry 7/],
  [
    "I6",
    "a reader that comes back with its cursor is given an entry again",
    () => good().follow("7").readEntry(7),
    /read entry 7 after entry 7/
  ],
  [
    "I6",
    "a reader sees an entry before its commit",
    () => {
      const story = begun().follow().readEntry(1).readEntry(2).readEntry(3).readEntry(4)
      story.record(succeeded("1", 1, text("")))
      return story.readEntry(5)
    },
    /read entry 5 before it was committed/
  ],
  [
    "I6",
    "a reader sees text twice",
    () =>
      begun()
        .follow()
        .readText("1", "I call")
        .readText("1", "I call")
        .run("1", "busy", "model")
        .append(succeeded("1", 1, text("I call")), turnEnded(1))
        .readEntry(1)
        .readEntry(2)
        .readEntry(3)
        .readEntry(4)
        .readEntry(5),
    /read "I callI call" of step 1/
  ],
  [
    "I7",
    "an OS process outlives its runner",
    () => {
      const story = good().tell(
        { _tag: "ProcessBorn", process: "runner-1.1", session: key, step: "2", attempt: 1, pid: 7 },
        { _tag: "Life", process: "runner-1.1", what: "killed" }
      )
      story.now += 2_000
      return story.tell({ _tag: "ProcessDied", pid: 7 })
    },
    /outlived its runner/
  ],
  [
    "I7",
    "an OS process outlives its step",
    () => {
      const story = begun()
        .tell({ _tag: "ProcessBorn", process: "runner-1.1", session: key, step: "1", attempt: 1, pid: 7 })
        .run("1", "busy", "model")
        .append(succeeded("1", 1, text("")), turnEnded(1))
      story.now += 2_000
      return story.tell({ _tag: "ProcessDied", pid: 7 })
    },
    /outlived its step/
  ],
  [
    "I7",
    "an errand is over in the journal first",
    () => errand().append(failed("2", 0), succeeded("2", 2), turnEnded(1)).tell(errandOver),
    /over in the journal before it was over in host-1.1/
  ],
  [
    "I7",
    "an errand is over in the journal first, though all that went wrong was the store",
    () => errandOverLater({ _tag: "Store", at: 1, ms: 60_000, how: "silent" }),
    /over in the journal before it was over in host-1.1/
  ],
  [
    "I7",
    "an errand goes on for a session that has another runner",
    () => {
      const story = errand().own("runner-2.1", 2).append(failed("2", 0), succeeded("2", 2), turnEnded(1))
      story.now += 8_000
      return story.tell(errandOver)
    },
    /went on in host-1.1 for 8\d\d\d ms/
  ],
  [
    "I7",
    "an OS process outlives its errand",
    () => {
      const story = errand()
        .tell({ _tag: "ProcessBorn", process: "host-1.1", session: key, step: "2", attempt: 1, pid: 7 }, errandOver)
        .append(failed("2", 0), succeeded("2", 2), turnEnded(1))
      story.now += 2_000
      return story.tell({ _tag: "ProcessDied", pid: 7 })
    },
    /OS process 7 of step 2 outlived its errand in host-1.1/
  ],
  [
    "I5",
    "an errand is lost where all are there and hear each other",
    () => errandLost(1),
    /was lost in host-1.1, and nothing had happened to it/
  ],
  [
    "I2",
    "an errand begins after its outcome",
    () => errand().tell(errandOver).append(failed("2", 0), succeeded("2", 2), turnEnded(1)).tell(errandBegins(3)),
    /attempt 3 of step 2 .* began in host-1.1 after its outcome was committed/
  ],
  [
    "I7",
    "an OS process is left in the end",
    () => {
      const story = good()
      story.finished.processes = [7]
      return story
    },
    /alive when all is over/
  ],
  [
    "I8",
    "a turn goes on beyond its limit",
    () => {
      const story = good()
      const limits = { steps: 9, modelCalls: 9, toolCalls: 0, tokens: 100, usd: 1, wallMs: 1 }
      story.finished.limits = { busy: limits }
      return story
    },
    /beyond the turn's limit: 1 toolCalls/
  ],
  [
    "I8",
    "the provider is asked by nobody",
    () => good().tell({ _tag: "Asked", call: 1 }, { _tag: "Asked", call: 2 }),
    /asked 2 times by 1/
  ],
  [
    "I9",
    "a pause is decided twice",
    () =>
      good().append(
        entry({ _tag: "Paused", pause: "p1", kind: "budget", detail: null }),
        entry({ _tag: "Resumed", pause: "p1", decision: "proceed" }),
        entry({ _tag: "Resumed", pause: "p1", decision: "end" })
      ),
    /pause p1 was decided again/
  ],
  [
    "I9",
    "a timer fires twice",
    () =>
      good().append(
        entry({ _tag: "TimerSet", timer: "t", due: 1 }),
        entry({ _tag: "TimerFired", timer: "t" }),
        entry({ _tag: "TimerFired", timer: "t" })
      ),
    /without being set/
  ],
  [
    "I9",
    "a timer fires too early",
    () => good().append(entry({ _tag: "TimerSet", timer: "t", due: 9e9 }), entry({ _tag: "TimerFired", timer: "t" })),
    /too early/
  ],
  [
    "I9",
    "an attempt begins before it is due",
    () => begun().append(failed("1", 9e9)).run("1", "busy", "model", 2),
    /attempt 2 of step 1 is due at 9000000000, and began/
  ],
  [
    "I9",
    "a wait is cut short",
    () => begun().append(failed("1", 9e9), failed("1", 1, 2)),
    /attempt 2 of step 1 was due at 9000000000 and given up/
  ],
  [
    "I2",
    "an attempt begins while a human is asked",
    () =>
      begun()
        .append(failed("1", 1, 1, "ask"))
        .run("1", "busy", "model", 2),
    /before a human had decided/
  ],
  ["I9", "a timer's row is lost", () => good().append(entry({ _tag: "TimerSet", timer: "t", due: 9e9 })), /by its row/],
  ["I10", "a turn ends before its steps", () => begun().append(turnEnded(1)), /before its steps 1/],
  [
    "I10",
    "a session goes on after its end",
    () =>
      good().append(
        entry({ _tag: "SessionEnded", outcome: { _tag: "Cancelled" } }),
        entry({ _tag: "Noted", kind: "x", detail: null })
      ),
    /the session had ended/
  ],
  [
    "I12",
    "a secret is in the journal",
    () => {
      const story = good().append(entry({ _tag: "Noted", kind: "x", detail: "sk-canary" }))
      story.finished.canaries = ["sk-canary"]
      return story
    },
    /a secret is in the journal/
  ],
  [
    "I13",
    "a client is told of a defect",
    () => good().tell({ _tag: "Refused", client: "c", session: key, command: "m1", error: "TypeError" }),
    /answered by TypeError/
  ],
  ["liveness", "a message has no turn", () => good().send("m2").append(accepted("m2")), /has had no turn/],
  ["liveness", "a turn does not end", () => begun(), /is still in its turn/],
  [
    "I10",
    "a step begins in a turn that was interrupted",
    () =>
      begun().append(
        entry({ _tag: "CommandAccepted", id: "stop", command: { _tag: "Interrupt" } }),
        intended("2", "tool", "look")
      ),
    /after its turn was interrupted/
  ],
  [
    "I10",
    "a child goes on when the step that it works for is over",
    () => {
      const story = good()
      const child = { ...(created as object), parent: { session: "s", step: "2" } }
      const first = { ...story.entries[0]!, entry: entry(child) }
      story.finished.journals = new Map([
        [key, story.entries],
        ["default/child", [first]]
      ])
      return story
    },
    /outlived step 2 of its parent s/
  ],
  [
    "I13",
    "who asks an open session is told that it is closed",
    () => good().send("m2").tell(refused("SessionClosed")),
    /and it was open/
  ],
  [
    "I13",
    "who asks a session is told that there is none",
    () => good().send("m2").tell(refused("SessionNotFound")),
    /and it was there/
  ],
  [
    "I13",
    "who would wait is told that the session is busy",
    () => good().send("m2").tell(refused("SessionBusy")),
    /it was to wait/
  ],
  [
    "I13",
    "a good message is refused",
    () => good().send("m2").tell(refused("InvalidInput")),
    /nothing is wrong with it/
  ],
  [
    "I13",
    "a runner ends itself for no reason",
    () => good().tell({ _tag: "Life", process: "runner-1.1", what: "lost" }),
    /and nothing had happened to it/
  ],
  ["liveness", "a timer does not fire", () => overdue(121_000), /timer t was due 121000 ms ago/],
  [
    "liveness",
    "a timer is later than a clock was set back",
    () => overdue(160_000, [1, -20_000], [2, -30_000], [2, 90_000]),
    /timer t was due 160000 ms ago/
  ],
  [
    "liveness",
    "the run did not end",
    () => {
      const story = good()
      story.finished.stuck = "client waits for an answer"
      return story
    },
    /client waits/
  ]
]

describe("the checks of a simulated run", () => {
  it("find nothing in a good one", () => {
    expect(good().check()).toEqual([])
  })

  it("find nothing wrong with a runner that was taken over in the middle, and does not know it yet", () => {
    const story = good()
    story.own("runner-2.1", 2).append(accepted("m2"), turnStarted(2, "m2"), intended("3", "tool", "book", 2, "never"))
    story.send("m2")
    // The owner is taken over, the step is in doubt, and only then the old owner's processor goes on.
    story.own("runner-3.1", 3).append(entry({ _tag: "StepInDoubt", step: "3", attempt: 1 }), turnEnded(2))
    story.process = "runner-2.1"
    expect(story.run("3", "book").effect("3", "book").check()).toEqual([])
  })

  it("find nothing wrong with a timer that is as late as a clock was set back", () => {
    const found = overdue(160_000, [1, -20_000], [2, -30_000], [2, -11_000]).check()
    expect(found.filter(({ invariant }) => invariant === "liveness")).toEqual([])
  })

  it("find nothing wrong with an errand whose runner the store did not hear of", () => {
    expect(errandLost(2).check()).toEqual([])
  })

  it("find nothing wrong with an errand that ends late where its runner may be taken for dead", () => {
    const fault = { _tag: "Partition", at: 1, ms: 60_000, runner: 4, from: "store" } as const
    expect(errandOverLater(fault).check()).toEqual([])
  })

  for (const [invariant, what, story, message] of broken) {
    it(`find that ${what} (${invariant})`, () => {
      const found = story().check()
      expect(found.filter((one) => one.invariant === invariant).map((one) => one.what)).toEqual(
        expect.arrayContaining([expect.stringMatching(message)])
      )
    })
  }
})
