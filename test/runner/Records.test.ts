import { randomBytes } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Handshake from "../../src/runner/internal/handshake.ts"
import { NotGenuine, opener, recordBytes, sealer } from "../../src/runner/internal/records.ts"

const contents = FastCheck.array(FastCheck.uint8Array({ minLength: 1, maxLength: 400 }), { minLength: 1, maxLength: 8 })

/** In pieces of these lengths, over and over. */
const cut = (bytes: Buffer, lengths: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const pieces: Array<Buffer> = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length]!
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

const sealed = (key: Buffer, parts: ReadonlyArray<Uint8Array>) => parts.map(sealer(key))

describe("records", () => {
  it("give back what was sent, however it arrives in pieces", () => {
    const lengths = FastCheck.array(FastCheck.integer({ min: 1, max: 50 }), { minLength: 1 })
    FastCheck.assert(
      FastCheck.property(contents, lengths, (parts, lengths) => {
        const key = randomBytes(32)
        const open = opener(key)
        const got = cut(Buffer.concat(sealed(key, parts)), lengths).flatMap(open)
        expect(Buffer.concat(got)).toEqual(Buffer.concat(parts))
      })
    )
  })

  it("carry what is larger than one of them, and show nothing of it on the way", () => {
    const key = randomBytes(32)
    const bytes = Buffer.alloc(3 * recordBytes + 5, "the same words again and again ")
    const wire = sealer(key)(bytes)
    expect(wire.includes("the same words")).toBe(false)
    expect(opener(key)(wire)).toEqual([bytes])
    const open = opener(key)
    expect(cut(wire, [1448]).flatMap(open)).toEqual([bytes])
  })

  it("are refused when any byte is changed, and nothing after it is read", () => {
    FastCheck.assert(
      FastCheck.property(contents, FastCheck.nat(), FastCheck.integer({ min: 1, max: 255 }), (parts, where, by) => {
        const key = randomBytes(32)
        const wire = Buffer.concat(sealed(key, parts))
        wire[where % wire.length]! ^= by
        const open = opener(key)
        let got: ReadonlyArray<Buffer> = []
        try {
          got = open(wire)
        } catch (cause) {
          expect(cause).toBeInstanceOf(NotGenuine)
          return
        }
        // A length that grew waits for bytes that do not come: what came before it is all that was read.
        const all = Buffer.concat(parts)
        expect(Buffer.concat(got).length).toBeLessThan(all.length)
        expect(all.subarray(0, Buffer.concat(got).length)).toEqual(Buffer.concat(got))
      }),
      { numRuns: 300 }
    )
  })

  it("are refused when one is repeated, left out, moved, or comes from another conversation or direction", () => {
    const key = randomBytes(32)
    const [one, two, three] = sealed(key, [Buffer.from("one"), Buffer.from("two"), Buffer.from("three")])
    const read = (...records: ReadonlyArray<Buffer>) => opener(key)(Buffer.concat(records))
    expect(Buffer.concat(read(one!, two!, three!)).toString()).toBe("onetwothree")
    expect(() => read(one!, one!)).toThrow(NotGenuine)
    expect(() => read(one!, three!)).toThrow(NotGenuine)
    expect(() => read(two!)).toThrow(NotGenuine)
    expect(() => read(one!, sealed(randomBytes(32), [Buffer.from("two")])[0]!)).toThrow(NotGenuine)
  })

  it("of a length that none has are refused before anything is kept of them", () => {
    const huge = Buffer.alloc(4)
    huge.writeUInt32BE(recordBytes + 1)
    expect(() => opener(randomBytes(32))(huge)).toThrow(NotGenuine)
    expect(() => opener(randomBytes(32))(Buffer.alloc(4))).toThrow(NotGenuine)
  })
})

describe("the handshake", () => {
  const secret = Buffer.from("a secret that is long enough to be one")

  const between = (clientSecret: Buffer, serverSecret: Buffer, change: (hellos: Hellos) => Hellos = (same) => same) => {
    const [clients, servers] = [Handshake.fresh(), Handshake.fresh()]
    const said = { client: Handshake.clientHello(clients, "host:1"), server: Handshake.serverHello(servers) }
    const heard = change(said)
    return {
      client: Handshake.keys(clientSecret, clients, heard.server, { client: said.client, server: heard.server }),
      server: Handshake.keys(serverSecret, servers, heard.client, { client: heard.client, server: said.server })
    }
  }

  it("gives both sides the same keys where they know the same secret, and others each time", () => {
    const first = between(secret, secret)
    expect(first.client).toEqual(first.server)
    expect(new Set(Object.values(first.client).map((key) => key.toString("hex"))).size).toBe(4)
    expect(between(secret, secret).client).not.toEqual(first.client)
  })

  it("gives them different proofs where they do not, or where somebody has changed a hello on its way", () => {
    const other = between(secret, Buffer.from("another secret of about the same length"))
    expect(Handshake.isProof(other.server.clientProof, other.client.clientProof)).toBe(false)
    expect(Handshake.isProof(other.client.serverProof, other.server.serverProof)).toBe(false)
    for (const at of [9, 45, -1]) {
      const flipped = (hello: Buffer) => {
        const copy = Buffer.from(hello)
        copy[at < 0 ? copy.length + at : at]! ^= 1
        return copy
      }
      const changed = between(secret, secret, ({ client, server }) => ({ client: flipped(client), server }))
      expect(Handshake.isProof(changed.server.clientProof, changed.client.clientProof)).toBe(false)
    }
  })

  it("refuses keys with which every exchange ends in the same", () => {
    const mine = Handshake.fresh()
    const zero = Handshake.serverHello({ ...Handshake.fresh(), publicKey: Buffer.alloc(32) })
    expect(() => Handshake.keys(secret, mine, zero, { client: zero, server: zero })).toThrow()
  })
})

type Hellos = { readonly client: Buffer; readonly server: Buffer }
