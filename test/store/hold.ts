import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { program } from "../support/compiled.ts"

/** Starts `holder.ts`, and returns when it holds. It is killed with the scope at the latest. */
export const hold = (driver: "sqlite" | "postgres", where: string) =>
  Effect.acquireRelease(
    Effect.async<ChildProcess>((resume) => {
      const child = spawn(process.execPath, [program("test/store/holder.ts"), driver, where], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.once("exit", () => resume(Effect.dieMessage("the holder ended before it held")))
      child.stdout.on("data", (data) => {
        if (String(data).includes("held")) resume(Effect.succeed(child))
      })
    }),
    (child) => kill(child)
  )

/** With -9; returns when the process is gone. */
export const kill = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })
