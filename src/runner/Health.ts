/**
 * A runner's health over HTTP, for Kubernetes and its like; on where `PERDURE_HEALTH_PORT` is set.
 *
 * - `GET /healthz`: 200 while the process is worth keeping: its main loop turns, and its store has not been silent for
 *   twelve heartbeat expiries.
 * - `GET /readyz`: 200 while it does its part: registered, heard by the store, with shards, not draining. At SIGTERM it
 *   turns to 503 before anything else happens, and is answered until the last session has left.
 *
 * It tells nothing of sessions, needs no secret, and is all that this port does.
 */
import * as http from "node:http"
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { Shards } from "../session/index.ts"
import { type Observed, isLive, isReady, type Verdict } from "./internal/judge.ts"
import { Standing } from "./Membership.ts"
import { RunnerSettings } from "./Settings.ts"
import { TrafficMisconfigured } from "./TrafficMisconfigured.ts"

/** Is told the port that is answered on, which settings may leave open. */
export class Opened extends Context.Reference<Opened>()("perdure/Health/Opened", {
  defaultValue: (): ((port: number) => void) => () => {}
}) {}

/** Whoever has not said by then what it wants does not want to know. */
const patience_ms = 5000

const answer = ({ ok, reason }: Verdict) => HttpServerResponse.text(`${reason}\n`, { status: ok ? 200 : 503 })

const observe = Effect.gen(function* () {
  const shards = yield* Shards
  const standing = yield* Standing
  const { heartbeatExpiry } = yield* RunnerSettings
  const startedAt = yield* Clock.currentTimeMillis
  let hadShardsAt = startedAt
  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (standing.shards() > 0) hadShardsAt = now
    const observed: Observed = {
      now,
      startedAt,
      hadShardsAt,
      draining: shards.draining(),
      registered: yield* standing.registered,
      confirmedAt: standing.confirmedAt(),
      shards: standing.shards(),
      expiryMs: Duration.toMillis(heartbeatExpiry)
    }
    return observed
  })
})

const open = (host: string, port: number) =>
  Effect.gen(function* () {
    const server = http.createServer({ headersTimeout: patience_ms, requestTimeout: patience_ms })
    const listening = yield* NodeHttpServer.make(() => server, { host, port }).pipe(
      Effect.mapError(
        ({ cause }) =>
          new TrafficMisconfigured({
            setting: "PERDURE_LISTEN, PERDURE_HEALTH_PORT",
            reason: `${host}:${port} cannot be listened on (${(cause as NodeJS.ErrnoException).code ?? "unknown"}): is it an address of this machine, and the port free?`
          })
      )
    )
    // Closing waits for connections: one that says nothing must not hold up a runner that leaves.
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    return listening
  })

/** Serves while the layers above it live, and a moment longer. */
export const layer: Layer.Layer<never, TrafficMisconfigured, Shards | Standing | RunnerSettings> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { healthPort, listen } = yield* RunnerSettings
    if (healthPort === null) return
    const look = yield* observe
    const app = HttpRouter.empty.pipe(
      HttpRouter.get(
        "/healthz",
        Effect.map(look, (observed) => answer(isLive(observed)))
      ),
      HttpRouter.get(
        "/readyz",
        Effect.map(look, (observed) => answer(isReady(observed)))
      )
    )
    const server = yield* open(listen, healthPort)
    yield* HttpServer.serveEffect(app).pipe(Effect.provideService(HttpServer.HttpServer, server))
    if (server.address._tag === "TcpAddress") {
      ;(yield* Opened)(server.address.port)
      yield* Effect.logInfo(`health on http://${server.address.hostname}:${server.address.port}/readyz`)
    }
  })
  // Every few seconds for ever: no trace is about that.
).pipe(HttpMiddleware.withTracerDisabledWhen(() => true))
