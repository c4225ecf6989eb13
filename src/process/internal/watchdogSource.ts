/**
 * The watchdog: a program of its own, as text, because it must start from the sources and from `dist` alike, with
 * nothing but `node -e`. Plain JavaScript, no dependency but Node.
 *
 * It reads orders from stdin, one JSON object a line, and answers `{re, yes}`. The end of stdin is the end of the
 * runner: then it kills all that bears the runner's prefix, and ends.
 *
 * Whose a process is, is decided when it is first seen, and kept by (pid, start time):
 *   its parent is known · its group or session was founded by a known one · its marker names the step ·
 *   its stdout or stderr is the step's.
 * While steps run, new processes are looked for every `tickMs`, so that descent is known before a parent can vanish.
 */
export const source = String.raw`
"use strict"
const fs = require("node:fs"), os = require("node:os"), { spawnSync } = require("node:child_process")
const [prefix, listing] = process.argv.slice(1)
if (!prefix) process.exit(1)
const tickMs = listing === "proc" ? 40 : 250
process.title = "perdure-watchdog " + prefix
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => {})
process.stdout.on("error", () => {})
// Its work is a race against forks; without the right to go first it goes with the rest.
try { os.setPriority(0, -10) } catch {}

const attempt = (f) => { try { return f() } catch { return undefined } }
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

// ── listing: [{ pid, ppid, group, session, start, dead }], with markers and pipes read only for the unknown
const stat = (pid) => {
  const text = attempt(() => fs.readFileSync("/proc/" + pid + "/stat", "latin1"))
  if (text === undefined) return undefined
  const f = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return { pid, ppid: +f[1], group: +f[2], session: +f[3], start: f[19], dead: f[0] === "Z" || f[0] === "X" }
}
const markersIn = (text) => {
  const found = /(?:^|[\0 ])PERDURE_STEP=([^\0 \n]*)/.exec(text || "")
  return found === null ? [] : found[1].split(",")
}
const proc = {
  pids: () => fs.readdirSync("/proc").filter((name) => name.charCodeAt(0) > 47 && name.charCodeAt(0) < 58).map(Number),
  read: stat,
  markers: (p) => markersIn(attempt(() => fs.readFileSync("/proc/" + p.pid + "/environ", "latin1"))),
  pipes: (p) => [1, 2].map((fd) => attempt(() => fs.readlinkSync("/proc/" + p.pid + "/fd/" + fd)))
    .filter((link) => link && (link.startsWith("socket:") || link.startsWith("pipe:")))
}
let table = new Map()
const ps = {
  pids: () => {
    const columns = "pid=,ppid=,pgid=,stat=,lstart=,command="
    const args = process.platform === "darwin" ? ["-A", "-E", "-ww", "-o", columns] : ["axeww", "-o", columns]
    const out = spawnSync("ps", args, { encoding: "latin1", maxBuffer: 1 << 28 }).stdout || ""
    table = new Map()
    for (const line of out.split("\n")) {
      const m = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s(.*)$/.exec(line)
      if (m) table.set(+m[1], { pid: +m[1], ppid: +m[2], group: +m[3], session: 0, dead: m[4][0] === "Z", start: m[5], command: m[6] })
    }
    return [...table.keys()]
  },
  read: (pid) => table.get(pid),
  markers: (p) => markersIn(p.command),
  pipes: () => []
}
const list = listing === "proc" ? proc : ps
const own = listing === "proc" ? stat(process.pid) : { group: process.pid }
const parent = listing === "proc" ? stat(process.ppid) : undefined
const spared = new Set([0, 1, own && own.group, parent && parent.group])

// ── whose
const steps = new Map()   // step → { known: Map(pid → start), pipes: Set }
const seen = new Map()    // pid → start, of the strangers
const stepOf = (name) => {
  let step = steps.get(name)
  if (step === undefined) steps.set(name, step = { name, known: new Map(), pipes: new Set() })
  return step
}
const belongs = (step, p, markers, pipes) =>
  step.known.has(p.ppid) || step.known.has(p.group) || step.known.has(p.session) ||
  markers.some((m) => step.name === "" ? m.startsWith(prefix) : m === step.name) || pipes.some((link) => step.pipes.has(link))
// Looks for what is new and returns what it read. "deep" reads the old ones too: a pid may be another's by now.
const scan = (deep) => {
  const pids = list.pids()
  const alive = new Map(), fresh = []
  const present = new Set(pids)
  for (const pid of seen.keys()) if (!present.has(pid)) seen.delete(pid)
  for (const pid of pids) {
    if (pid === process.pid || pid === process.ppid || pid === 1) continue
    if (!deep && seen.has(pid)) continue
    const p = list.read(pid)
    if (p === undefined) continue
    alive.set(pid, p)
    if (seen.get(pid) === p.start) continue
    let owned = false
    for (const step of steps.values()) {
      const start = step.known.get(pid)
      if (start === p.start) owned = true
      else if (start !== undefined) step.known.delete(pid)
    }
    if (!owned) fresh.push(p)
  }
  for (const p of fresh) { p.markers = list.markers(p); p.pipes = list.pipes(p) }
  let strangers = fresh
  for (let changed = true; changed;) {
    changed = false
    strangers = strangers.filter((p) => {
      let mine = false
      for (const step of steps.values()) if (belongs(step, p, p.markers, p.pipes)) { step.known.set(p.pid, p.start); mine = changed = true }
      return !mine
    })
  }
  for (const p of strangers) seen.set(p.pid, p.start)
  if (deep) prune(alive)
  return alive
}
// A build starts processes by the thousand: the dead are forgotten, unless a group or session still bears their number.
const prune = (alive) => {
  const founders = new Set()
  for (const p of alive.values()) founders.add(p.group).add(p.session)
  for (const step of steps.values())
    for (const pid of step.known.keys()) if (!alive.has(pid) && !founders.has(pid)) step.known.delete(pid)
}
const members = (step, deep) => {
  const alive = scan(deep)
  return [...step.known].map(([pid, start]) => ({ start, p: alive.get(pid) }))
    .filter(({ start, p }) => p !== undefined && p.start === start && !p.dead).map(({ p }) => p)
}

// ── signals
const signal = (found, name) => {
  // By group first: the kernel signals all of it at once, so no fork in it slips through.
  for (const group of new Set(found.map((p) => p.group))) if (!spared.has(group)) attempt(() => process.kill(-group, name))
  for (const p of found) attempt(() => process.kill(p.pid, name))
}
const destroy = async (step) => {
  const deadline = performance.now() + 5000
  // Strangers are looked at once more: a marker that could not be read in the middle of an exec can be read now.
  seen.clear()
  for (let quiet = 0, deep = true; quiet < 2; deep = false) {
    let found = members(step, deep)
    if (found.length === 0) { quiet++; continue }
    quiet = 0
    // Stopped ones do not fork: first all are stopped, then all are killed.
    for (let before = -1, sweep = 0; found.length !== before && sweep < 20; sweep++) {
      before = found.length
      signal(found, "SIGSTOP")
      found = members(step, false)
    }
    signal(found, "SIGKILL")
    if (performance.now() > deadline) return false
    await sleep(2)
  }
  if (step.name !== "") steps.delete(step.name)
  return true
}

// ── orders
const orders = {
  hello: () => true,
  track: ({ step: name, pid }) => {
    const step = stepOf(name)
    if (listing === "ps") list.pids()
    const p = list.read(pid)
    // One that has ended already may have left children in its group.
    step.known.set(pid, p === undefined ? "" : p.start)
    if (p !== undefined) for (const link of list.pipes(p)) step.pipes.add(link)
  },
  term: ({ step }) => { const found = members(stepOf(step), false); signal(found, "SIGTERM"); signal(found, "SIGCONT"); return true },
  empty: ({ step }) => members(stepOf(step), false).length === 0,
  destroy: ({ step }) => destroy(stepOf(step))
}
let rest = ""
process.stdin.setEncoding("utf8").on("data", (text) => {
  const lines = (rest + text).split("\n")
  rest = lines.pop()
  for (const line of lines) {
    const order = JSON.parse(line)
    Promise.resolve(orders[order.op](order)).then((yes) => {
      if (order.id !== undefined) process.stdout.write(JSON.stringify({ re: order.id, yes }) + "\n")
    })
  }
})
const over = async () => {
  clearTimeout(timer)
  await Promise.all([...steps.values()].map(destroy))
  await destroy(stepOf(""))
  process.exit(0)
}
process.stdin.on("end", over).on("error", over)
let timer
const tick = () => {
  const before = performance.now()
  const many = [...steps.values()].some((step) => step.known.size > 5000)
  if (steps.size > 0) attempt(() => scan(many))
  // At most a twentieth of a core.
  timer = setTimeout(tick, Math.max(tickMs, 20 * (performance.now() - before)))
}
tick()
`
