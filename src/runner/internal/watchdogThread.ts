/**
 * What the watchdog's thread runs. It is text, so that it is there however the package was bundled.
 *
 * It counts its own ticks, each for two ticks' time at most: a process that was stopped (SIGSTOP, a sleeping laptop) had its
 * thread stopped as well, and wakes with a watchdog that has seen nothing.
 *
 * To say where the loop hangs, and to end with a code, it asks the main thread's inspector, which breaks into running
 * JavaScript. A loop that hangs in native code cannot be asked: then it is SIGKILL.
 */
export const source = `
const { workerData: { cells, hangMs, tickMs, code } } = require("node:worker_threads")
const { writeSync } = require("node:fs")
const beats = new Int32Array(cells)
const tell = (where) => {
  try {
    writeSync(2, "perdure: the main loop of this runner has not turned for " + (silentMs / 1000).toFixed(1) + " s" + where +
      ": it ends itself with code " + code + ", its sessions go on elsewhere. PERDURE_HANG says how long it may.\\n")
  } catch {}
}
const end = () => {
  let told = false
  const once = (where) => { if (!told) { told = true; tell(where) } }
  setTimeout(() => { once(" (in native code)"); process.kill(process.pid, "SIGKILL") }, 1500)
  const { Session } = require("node:inspector")
  const main = new Session()
  main.connectToMainThread()
  const files = new Map()
  main.on("Debugger.scriptParsed", ({ params: { scriptId, url } }) => files.set(scriptId, url))
  main.on("Debugger.paused", ({ params: { callFrames } }) => {
    once(" (in " + callFrames.slice(0, 4).map(({ functionName, location }) => (functionName || "a function") + " " +
      (files.get(location.scriptId) || "?") + ":" + (location.lineNumber + 1)).join(" < ") + ")")
    main.post("Runtime.evaluate", { expression: "process.reallyExit(" + code + ")" })
  })
  main.post("Debugger.enable")
  main.post("Debugger.pause")
}
let seen = Atomics.load(beats, 0)
let silentMs = 0
let before = performance.now()
const timer = setInterval(() => {
  const now = performance.now()
  silentMs += Math.min(now - before, 2 * tickMs)
  before = now
  const beat = Atomics.load(beats, 0)
  if (beat !== seen) { seen = beat; silentMs = 0 }
  if (silentMs < hangMs || Atomics.load(beats, 1) !== 0) return
  clearInterval(timer)
  end()
}, tickMs)
`
