/** A connection whose bytes travel as records. It ends as the socket below it does, or at the first false record. */
import { Duplex } from "node:stream"
import { opener, recordBytes, sealer } from "./records.ts"

type Done = (error?: Error | null) => void

export class SealedDuplex extends Duplex {
  readonly #socket: Duplex
  readonly #seal: (bytes: Uint8Array) => Buffer

  constructor(socket: Duplex, keys: { readonly sending: Buffer; readonly receiving: Buffer }) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    this.#seal = sealer(keys.sending)
    const open = opener(keys.receiving)
    socket.on("data", (piece: Buffer) => {
      if (this.destroyed) return
      try {
        let wantsMore = true
        for (const bytes of open(piece)) wantsMore = this.push(bytes)
        if (!wantsMore) socket.pause()
      } catch (cause) {
        this.destroy(cause as Error)
      }
    })
    // It flows when somebody reads.
    socket.pause()
    let ended = false
    socket.on("end", () => {
      ended = true
      if (!this.destroyed) this.push(null)
    })
    socket.on("error", (cause) => this.destroy(cause))
    // After a proper end it is over when what came before has been read.
    socket.on("close", () => ended || this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#socket.write(this.#seal(chunk), done)
  }

  /** What has gathered while the last was written: small messages share a record, large ones are sealed each by itself. */
  override _writev(chunks: ReadonlyArray<{ readonly chunk: Buffer }>, done: Done): void {
    const sealed: Array<Buffer> = []
    let together: Array<Buffer> = []
    let bytes = 0
    const seal = () => {
      if (bytes > 0) sealed.push(this.#seal(together.length === 1 ? together[0]! : Buffer.concat(together)))
      together = []
      bytes = 0
    }
    for (const { chunk } of chunks) {
      if (bytes + chunk.length > recordBytes) seal()
      together.push(chunk)
      bytes += chunk.length
    }
    seal()
    this.#socket.write(Buffer.concat(sealed), done)
  }

  override _final(done: Done): void {
    this.#socket.end(() => done())
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy()
    done(error)
  }
}
