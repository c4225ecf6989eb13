/** How much of the processors' time that this machine asked for went to others on the same host. */
import { readFileSync } from "node:fs"

/** Since the machine came up, in ticks; zeros where the system does not say. */
const ticks = (): { readonly wanted: number; readonly stolen: number } => {
  try {
    const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n")
    const [user, nice, system, , , irq, softirq, stolen] = line.trim().split(/\s+/).slice(1).map(Number)
    return { wanted: user! + nice! + system! + irq! + softirq! + stolen!, stolen: stolen! }
  } catch {
    return { wanted: 0, stolen: 0 }
  }
}

/** From now on. The result says the share until it is asked, from 0 to 1. */
export const since = (): (() => number) => {
  const before = ticks()
  return () => {
    const now = ticks()
    return (now.stolen - before.stolen) / Math.max(1, now.wanted - before.wanted)
  }
}
