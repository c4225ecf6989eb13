/** What the simulated network does where a machine is gone: as TCP does, no kinder and no worse. */
import { assert, describe, it } from "vitest"
import type { End, Trouble } from "../../../src/testing/internal/sim/End.ts"
import { Network } from "../../../src/testing/internal/sim/Network.ts"
import { SimProcess } from "../../../src/testing/internal/sim/SimProcess.ts"
import { World } from "../../../src/testing/internal/sim/World.ts"

const address = "10.0.1.1:1"

type Connected = End | Trouble | "silence"

const make = () => {
  const world = new World("network")
  const network = new Network(world, { latency: [0.1, 5] })
  const start = (name: string) => new SimProcess(world, name, { operations: 1_000 })
  const client = start("client.1")
  const serve = (name: string) => {
    const process = start(name)
    network.listen(process, address, () => {})
    return process
  }
  /** What became of connecting, within a second. */
  const connect = (): Connected => {
    let result: Connected = "silence"
    network.connect(client, address, (one) => {
      result = one
    })
    pass(1_000)
    return result
  }
  const pass = (ms: number) => {
    world.after(ms, () => {})
    world.run(ms)
  }
  const die = (process: SimProcess, silently: boolean) => {
    process.kill()
    network.died(process, silently)
  }
  return { network, serve, connect, pass, die }
}

const isEnd = (result: Connected): result is End => typeof result !== "string"

describe("a machine that is gone", () => {
  for (const silently of [false, true]) {
    it(silently ? "does not answer who connects" : "answers for a process that has died", () => {
      const { connect, die, serve } = make()
      die(serve("runner-1.1"), silently)
      assert.strictEqual(connect(), silently ? "silence" : "refused")
      serve("runner-1.2")
      assert.isTrue(isEnd(connect()))
    })

    it(silently ? "closes no connection" : "closes the connections of a process that has died", () => {
      const { connect, die, network, pass, serve } = make()
      const server = serve("runner-1.1")
      const end = connect()
      assert.isTrue(isEnd(end))
      die(server, silently)
      network.send(end as End, Uint8Array.of(1))
      pass(60_000)
      assert.strictEqual((end as End).closed === null, silently)
    })
  }

  it("is silent until another one has its address: what is sent comes there, and is answered with a reset", () => {
    const { connect, die, network, pass, serve } = make()
    const server = serve("runner-1.1")
    const [before, after, unused] = [connect() as End, connect() as End, connect() as End]
    die(server, true)
    network.send(before, Uint8Array.of(1))
    pass(10_000)
    assert.isNull(before.closed)
    serve("runner-1.2")
    pass(3_000)
    assert.strictEqual(before.closed, "reset")
    assert.isNull(after.closed)
    network.send(after, Uint8Array.of(1))
    pass(3_000)
    assert.strictEqual(after.closed, "reset")
    // Nobody has said anything over this one.
    assert.isNull(unused.closed)
  })
})
