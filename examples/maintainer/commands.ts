/** The commands that the maintainer may run: real processes, on any machine with Node. */

/** Counts lines file by file at a walking pace: slow enough to be killed in the middle, whatever the machine. */
const countLines = `
const fs = require("node:fs"), path = require("node:path")
const skipped = new Set(["node_modules", ".git", "dist", ".perdure", "coverage"])
const found = [], pending = [process.argv[1]]
for (let at = pending.shift(); at !== undefined && found.length < 120; at = pending.shift()) {
  let entries = []
  try { entries = fs.readdirSync(at, { withFileTypes: true }) } catch {}
  for (const entry of entries) {
    if (skipped.has(entry.name)) continue
    if (entry.isDirectory()) pending.push(path.join(at, entry.name))
    else if (entry.isFile()) found.push(path.join(at, entry.name))
  }
}
const files = found.slice(0, 120), pace = 2400 / Math.max(1, files.length)
let lines = 0, counted = 0
console.log("counting " + files.length + " files")
const news = setInterval(() => console.log("counted " + counted + " of " + files.length + " files"), 400)
const next = () => {
  if (counted >= files.length) {
    clearInterval(news)
    return console.log(files.length + " files, " + lines + " lines")
  }
  try { lines += fs.readFileSync(files[counted], "utf8").split("\\n").length - 1 } catch {}
  counted++
  setTimeout(next, pace)
}
setTimeout(next, files.length > 0 ? 0 : pace)
`

export interface Wanted {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly inherit: ReadonlyArray<string>
}

export const commands = (root: string): Readonly<Record<"count-lines" | "history", Wanted>> => ({
  "count-lines": { command: process.execPath, args: ["-e", countLines, root], inherit: ["PATH"] },
  history: {
    command: "git",
    // The directory may be another user's: reading its history runs nothing of it.
    args: ["-c", `safe.directory=${root}`, "-C", root, "--no-pager", "log", "--oneline", "--no-decorate", "-n", "10"],
    inherit: ["PATH", "HOME"]
  }
})
