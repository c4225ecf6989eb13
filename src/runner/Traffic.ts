/**
 * The traffic between runners, and of clients to them: always authenticated and encrypted.
 *
 * Both sides prove that they know the cluster's secret (`internal/handshake.ts`), show each other certificates of one
 * authority (mutual TLS), or both. There is no plain form. Without settings, the secret is one that the first runner has
 * left in the store: whoever may read the database belongs to the cluster.
 */
import * as net from "node:net"
import { RpcSerialization } from "@effect/rpc"
import { Effect, Redacted } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import { Store } from "../store/index.ts"
import { load } from "./internal/certificates.ts"
import { dial } from "./internal/dial.ts"
import { keepDoor } from "./internal/doorkeeper.ts"
import { RunnerSettings, type Settings } from "./Settings.ts"
import { TrafficMisconfigured } from "./TrafficMisconfigured.ts"
import type { Wire } from "./Wire.ts"

export { TrafficMisconfigured }

/** Of what can be guessed offline, this much cannot. */
const secretBytesMin = 32

/** The one to dial with first; any of them lets in, so that a secret can be changed while runners run. */
const given = (setting: Redacted.Redacted): Effect.Effect<ReadonlyArray<Redacted.Redacted>, TrafficMisconfigured> => {
  const secrets = Redacted.value(setting)
    .split(",")
    .map((secret) => secret.trim())
  const short = secrets.find((secret) => Buffer.byteLength(secret) < secretBytesMin)
  return short === undefined
    ? Effect.succeed(secrets.map((secret) => Redacted.make(secret)))
    : new TrafficMisconfigured({
        setting: "PERDURE_CLUSTER_SECRET",
        reason: `a secret has ${Buffer.byteLength(short)} bytes, it needs ${secretBytesMin}: make one with \`openssl rand -base64 32\``
      })
}

/** The secrets of this process, the one that it shows first; `null` where certificates alone decide. */
export const secretsOf = ({ entropy, secret, tls }: Settings) =>
  Effect.gen(function* () {
    if (secret !== null) return yield* given(secret)
    if (tls !== null) return null
    const proposal = Buffer.from(entropy(secretBytesMin)).toString("base64url")
    return [Redacted.make(yield* (yield* Store).agree("cluster secret", proposal))]
  })

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host)
const isWildcard = (host: string): boolean => net.isIP(host) !== 0 && /^[0:.]+$/.test(host)

/** Whether the others can reach this runner where it says that it is. */
const reachable = ({ host, listen }: Settings): Effect.Effect<void, TrafficMisconfigured> => {
  const wrong = (reason: string) => new TrafficMisconfigured({ setting: "PERDURE_HOST", reason })
  if (isWildcard(host)) {
    return wrong(
      `${host} is no address that others can connect to: name this machine's own, and give it to PERDURE_LISTEN`
    )
  }
  if (isLoopback(host) && !isLoopback(listen)) {
    return wrong(
      `this runner listens on ${listen} but tells the others to find it at ${host}, which is themselves: set it to the address by which they reach this machine`
    )
  }
  if (!isLoopback(host) && isLoopback(listen)) {
    return wrong(
      `this runner tells the others to find it at ${host} but listens on ${listen} only: set PERDURE_LISTEN to ${host}, or leave it unset`
    )
  }
  return Effect.void
}

/** Sockets between processes, as the settings want them authenticated. */
export const wire: Effect.Effect<Wire, TrafficMisconfigured | StoreUnavailable, RunnerSettings | Store> = Effect.gen(
  function* () {
    const settings = yield* RunnerSettings
    const secrets = yield* secretsOf(settings)
    const certificates = settings.tls === null ? null : yield* load(settings.tls)
    return {
      listen: (settings) =>
        Effect.zipRight(
          reachable(settings),
          keepDoor({ ...settings, secrets, certificates }).pipe(
            Effect.mapError(
              ({ cause }) =>
                new TrafficMisconfigured({
                  setting: "PERDURE_LISTEN, PERDURE_PORT",
                  reason: `${settings.listen}:${settings.port} cannot be listened on (${(cause as NodeJS.ErrnoException).code ?? "unknown"}): is it an address of this machine, and the port free?`
                })
            )
          )
        ),
      connect: dial(secrets?.[0] ?? null, certificates),
      serialization: RpcSerialization.layerMsgPack
    }
  }
)
