/** One end of a simulated connection. */
import type { SimProcess } from "./SimProcess.ts"

/** Why a connection cannot be, or be used any more. */
export type Trouble = "refused" | "reset" | "closed"

/** One end of a connection. */
export class End {
  peer!: End
  /** What to do with bytes that come; before there is somebody, they wait. */
  onData: ((bytes: Uint8Array) => void) | null = null
  onClose: ((trouble: Trouble) => void) | null = null
  closed: Trouble | null = null
  #waiting: Array<Uint8Array> = []
  /** When the last bytes that were sent to this end come to it: later ones do not overtake them. */
  lastArrival = 0
  /** What came during a partition, in order. */
  held: Array<() => void> | null = null

  constructor(readonly process: SimProcess) {}

  receive(bytes: Uint8Array): void {
    if (this.closed !== null) return
    if (this.onData === null) this.#waiting.push(bytes)
    else this.onData(bytes)
  }

  listen(onData: (bytes: Uint8Array) => void, onClose: (trouble: Trouble) => void): void {
    this.onData = onData
    this.onClose = onClose
    const waiting = this.#waiting
    this.#waiting = []
    for (const bytes of waiting) onData(bytes)
    if (this.closed !== null) onClose(this.closed)
  }

  close(trouble: Trouble): void {
    if (this.closed !== null) return
    this.closed = trouble
    this.onClose?.(trouble)
  }
}
