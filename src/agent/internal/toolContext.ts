/** What one call of a tool is given. */
import { Effect, Scope, Stream } from "effect"
import { Blobs, Claim } from "../../blob/index.ts"
import { Processes, type Running, type Spawn } from "../../process/index.ts"
import type { StepContext } from "../../session/index.ts"
import type { Ran, ToolContext } from "../ToolContext.ts"
import type { Pulse } from "./bounded.ts"

/** How much of a process's output stays in the result; more than that becomes a claim. */
const inlineBytes = 64 * 1024

/** What is read of a process is a sign of life of its tool. */
const heard = (running: Running, pulse: Pulse): Running => {
  const beat = <E>(output: Stream.Stream<Uint8Array, E>) => Stream.tap(output, () => Effect.sync(() => pulse.beat()))
  return { ...running, stdout: beat(running.stdout), stderr: beat(running.stderr) }
}

/**
 * The context of one call.
 *
 * @param attached collects the claims that this call has made itself
 */
export const make = (
  step: StepContext,
  attached: Set<string>,
  pulse: Pulse
): Effect.Effect<ToolContext["Type"], never, Processes | Blobs | Scope.Scope> =>
  Effect.gen(function* () {
    const processes = yield* Processes
    const blobs = yield* Blobs
    const scope = yield* Effect.scope
    const { namespace } = step.key
    const alive = Effect.sync(() => pulse.beat())

    const attach: ToolContext["Type"]["attach"] = (content) =>
      Effect.map(
        Claim.write(
          namespace,
          Stream.tap(content, () => alive)
        ),
        (claim) => {
          attached.add(claim)
          return claim
        }
      ).pipe(Effect.provideService(Blobs, blobs))

    const run = (spawn: Spawn) =>
      Effect.gen(function* () {
        const channels = {
          stdout: yield* Claim.collector(namespace, inlineBytes),
          stderr: yield* Claim.collector(namespace, inlineBytes)
        }
        const finished = yield* processes.run(spawn, {
          onOutput: (channel, chunk) => Effect.zipRight(alive, channels[channel].write(chunk))
        })
        const ran: Ran = { exit: finished.exit, stdout: yield* channels.stdout.end, stderr: yield* channels.stderr.end }
        if (Claim.isClaim(ran.stdout)) attached.add(ran.stdout)
        if (Claim.isClaim(ran.stderr)) attached.add(ran.stderr)
        return ran
      }).pipe(Effect.scoped, Effect.provideService(Blobs, blobs))

    return {
      namespace,
      session: step.key.session,
      turn: step.turn,
      step: step.step,
      attempt: step.attempt,
      idempotencyKey: step.idempotencyKey,
      progress: (text) => Effect.zipRight(alive, step.emit("progress", text.endsWith("\n") ? text : `${text}\n`)),
      saved: step.saved,
      save: (partial) => Effect.zipLeft(step.save(partial), alive),
      spawn: (spawn) =>
        processes.start(spawn).pipe(
          Scope.extend(scope),
          Effect.map((running) => heard(running, pulse))
        ),
      run,
      attach
    }
  })
