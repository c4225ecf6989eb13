/** A cluster's messages over the simulated network. What is said is written down where it is sent. */
import { RpcSerialization } from "@effect/rpc"
import { Effect, Layer } from "effect"
import type { Cluster } from "../../../runner/index.ts"
import type { Network } from "./Network.ts"
import type { SimProcess } from "./SimProcess.ts"
import { connect, listen } from "./socket.ts"

interface Said {
  readonly _tag: string
  readonly tag?: string
  readonly payload?: { readonly request?: { readonly tag: string; readonly address: { readonly entityId: string } } }
}

const nameOf = (said: Said): string | null => {
  if (said._tag !== "Request") return null
  const request = said.payload?.request
  return request === undefined ? (said.tag ?? null) : `${request.tag} ${request.address.entityId}`
}

export const wire = (network: Network, process: SimProcess): Cluster.Wire => ({
  listen: ({ host, port }) => listen(network, process, host, port),
  connect: ({ host, port }) => connect(network, process, `${host}:${port}`),
  serialization: Layer.effect(
    RpcSerialization.RpcSerialization,
    Effect.sync(() => {
      const { msgPack } = RpcSerialization
      return RpcSerialization.RpcSerialization.of({
        ...msgPack,
        unsafeMake: () => {
          const parser = msgPack.unsafeMake()
          return {
            decode: parser.decode,
            encode: (said) => {
              const what = nameOf(said as Said)
              if (what !== null) {
                network.world.history.record({
                  _tag: "Message",
                  from: process.name,
                  to: "",
                  what,
                  fate: "delivered"
                })
              }
              return parser.encode(said)
            }
          }
        }
      })
    })
  )
})
