/** A real runner in a process of its own, and those who know its port, or hold a connection, and should get nothing by it. */
import * as net from "node:net"
import {
  EntityAddress,
  EntityId,
  EntityType,
  RunnerAddress,
  Runners as ClusterRunners,
  ShardId,
  Snowflake
} from "@effect/cluster"
import { Headers, Socket } from "@effect/platform"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { Client } from "../../src/client/index.ts"
import { defaultNamespace, SessionId } from "../../src/domain/Id.ts"
import { Runner, RunnerSettings, Traffic } from "../../src/runner/index.ts"
import { Postgres as Driver, Store } from "../../src/store/index.ts"
import { Ticker } from "../fixtures/ticker.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import * as Taps from "../support/Taps.ts"

const environment = (database: Redacted.Redacted, more: Record<string, string> = {}) =>
  Layer.setConfigProvider(
    ConfigProvider.fromMap(new Map(Object.entries({ PERDURE_DATABASE_URL: Redacted.value(database), ...more })), {
      pathDelim: "_"
    })
  )

const clientOf = (database: Redacted.Redacted, more?: Record<string, string>) =>
  Runner.layerClient().pipe(Layer.provide(environment(database, more)))

const storeOf = (database: Redacted.Redacted) => Driver.layer({ url: database, maxConnections: 2 })

/** One that two processes can have, on different addresses of this machine. */
const freePort = Effect.async<number>((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const rowsOf = (id: string) =>
  Effect.flatMap(Store, (store) => store.read(defaultNamespace, SessionId.make(id), 0, 1000))

let requests = 0n

/** What the runners say to each other, said by somebody who may: the shard is the caller's word. */
const say = (database: Redacted.Redacted, address: RunnerAddress.RunnerAddress, entityId: string, shard: number) =>
  Effect.gen(function* () {
    const wire = yield* Traffic.wire
    const protocol = yield* Effect.flatMap(wire.connect(address), (socket) =>
      RpcClient.makeProtocolSocket().pipe(Effect.provideService(Socket.Socket, socket))
    )
    const client = yield* ClusterRunners.makeRpcClient.pipe(Effect.provideService(RpcClient.Protocol, protocol))
    const created = { _tag: "SessionCreated", agent: "ticker", agentVersion: "1", attributes: {} }
    return yield* client.Effect({
      persisted: false,
      request: {
        _tag: "Request",
        requestId: Snowflake.Snowflake(++requests),
        address: EntityAddress.EntityAddress.make({
          shardId: ShardId.make("default", shard),
          entityType: EntityType.EntityType.make("perdure/Session"),
          entityId: EntityId.make(entityId)
        }),
        tag: "Create",
        payload: { created: JSON.stringify(created) },
        headers: Headers.empty
      }
    })
  }).pipe(Effect.scoped, Effect.provide([RpcSerialization.layerMsgPack, RunnerSettings.layer(), storeOf(database)]))

describe("a runner's port", () => {
  it.scopedLive(
    "captured traffic of a client does nothing when it is played again, and the runner lives on (I1)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const port = yield* freePort
        const tap = yield* Taps.tap({ host: "127.0.0.2", port })
        yield* runners.start({ PERDURE_HOST: "127.0.0.2", PERDURE_LISTEN: "127.0.0.1", PERDURE_PORT: String(port) })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Ticker, "tapped")
          yield* session.result(yield* session.send("2 1 tick", { id: "pay" }))
          const before = yield* rowsOf("tapped")
          expect(tap.fromClient().length).toBeGreaterThan(1000)
          for (const words of ["tapped", "tick", "ticker", "Accept"])
            expect(tap.fromClient().includes(words)).toBe(false)

          const replay = yield* Taps.visit(port, tap.fromClient())
          expect(replay.bytes.length).toBeLessThanOrEqual(72)
          yield* Taps.visit(port, Buffer.from("GET /readyz HTTP/1.1\r\n\r\n"))
          expect(yield* rowsOf("tapped")).toEqual(before)
          expect(runners.witness()).toHaveLength(2)

          const next = yield* Client.session(Ticker, "after")
          expect(yield* next.result(yield* next.send("1 1 tick"))).toMatchObject({ _tag: "Completed" })
        }).pipe(Effect.provide(Layer.merge(clientOf(database), storeOf(database))))
      }),
    60_000
  )

  it.scopedLive(
    "a client with another secret, with one that is too short, or with other shards, does not start",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const secret = "the secret that the operator has set"
        const runner = yield* runners.start({ PERDURE_CLUSTER_SECRET: secret })
        const create = Client.session(Ticker, "strange")
        const failed = yield* Effect.flip(Effect.provide(create, clientOf(database)))
        expect(failed._tag).toBe("TrafficMisconfigured")
        expect(failed.message).toMatch(/shares no secret.*give it theirs/)
        expect(yield* Effect.provide(rowsOf("strange"), storeOf(database))).toEqual([])
        expect(runner.output()).not.toContain(secret)

        const short = yield* Effect.flip(
          Effect.provide(create, clientOf(database, { PERDURE_CLUSTER_SECRET: "hunter2" }))
        )
        expect(short._tag).toBe("TrafficMisconfigured")
        expect(short.message).toMatch(/has 7 bytes, it needs 32.*openssl rand/)
        expect(short.message).not.toContain("hunter2")

        const differ = yield* Effect.flip(
          Effect.provide(create, clientOf(database, { PERDURE_CLUSTER_SECRET: secret, PERDURE_SHARDS: "100" }))
        )
        expect(differ).toMatchObject({ _tag: "SettingsDiffer", here: "100", agreed: "300" })

        yield* Effect.provide(create, clientOf(database, { PERDURE_CLUSTER_SECRET: secret }))
      }),
    60_000
  )

  it.scopedLive(
    "a message under another shard than its id's own is refused before anything is read or written",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const port = yield* freePort
        yield* runners.start({ PERDURE_PORT: String(port) })
        // It is up when it serves: one session is created the right way.
        yield* Effect.provide(Client.session(Ticker, "honest"), clientOf(database))
        const address = RunnerAddress.make("127.0.0.1", port)
        const own = yield* Effect.provide(
          Effect.flatMap(Store, (store) => store.session(defaultNamespace, SessionId.make("honest"))),
          storeOf(database)
        )
        const shard = Number(own!.shard.split(":")[1])
        const answers = yield* Effect.forEach(
          [
            ["default/honest", shard],
            ["default/honest", (shard % 300) + 1],
            ["no id at all", 7]
          ] as const,
          ([id, under]) => Effect.map(say(database, address, id, under), (reply) => JSON.stringify(reply))
        )
        expect(answers[0]).toContain('"Success"')
        expect(answers[1]).toMatch(/it came under shard default:\d+, and its session belongs to default:\d+.*Misrouted/)
        expect(answers[2]).toMatch(/Misrouted/)
        expect(yield* Effect.provide(rowsOf("honest"), storeOf(database))).toHaveLength(1)
      }),
    60_000
  )
})
