/** Chunks, manifests and references of the simulated store. Putting again what is there only touches it. */
import { Effect } from "effect"
import type { BlobInfo, Store } from "../../../store/index.ts"

type Port = Pick<Store["Type"], "putChunk" | "getChunk" | "putBlob" | "getBlob" | "collect">

interface Touched<A> {
  readonly content: A
  touchedAt: number
}

const put = <A>(map: Map<string, Touched<A>>, key: string, content: A, now: number): void => {
  const there = map.get(key)
  if (there === undefined) map.set(key, { content, touchedAt: now })
  else there.touchedAt = now
}

export class SimBlobs {
  readonly #now: () => number
  readonly #chunks = new Map<string, Touched<Uint8Array>>()
  readonly #blobs = new Map<string, Touched<BlobInfo>>()
  /** Sessions that name a blob. */
  readonly #refs = new Map<string, Set<string>>()

  constructor(now: () => number) {
    this.#now = now
  }

  refer(namespace: string, hash: string, session: string): void {
    const key = `${namespace}/${hash}`
    const sessions = this.#refs.get(key) ?? new Set()
    this.#refs.set(key, sessions.add(session))
  }

  forget(namespace: string, session: string): void {
    for (const [key, sessions] of this.#refs) {
      if (!key.startsWith(`${namespace}/`)) continue
      sessions.delete(session)
      if (sessions.size === 0) this.#refs.delete(key)
    }
  }

  #collect(olderThanMs: number): number {
    const before = this.#now() - Math.ceil(olderThanMs)
    let gone = 0
    const named = new Set<string>()
    for (const [key, { content, touchedAt }] of this.#blobs) {
      if (touchedAt < before && !this.#refs.has(key)) {
        this.#blobs.delete(key)
        gone++
      } else {
        const namespace = key.slice(0, key.indexOf("/"))
        for (const chunk of content.chunks) named.add(`${namespace}/${chunk}`)
      }
    }
    for (const [key, { touchedAt }] of this.#chunks) {
      if (touchedAt < before && !named.has(key)) this.#chunks.delete(key)
    }
    return gone
  }

  readonly port: Port = {
    putChunk: (namespace, hash, content) =>
      Effect.sync(() => put(this.#chunks, `${namespace}/${hash}`, content, this.#now())),
    getChunk: (namespace, hash) => Effect.sync(() => this.#chunks.get(`${namespace}/${hash}`)?.content ?? null),
    putBlob: (namespace, blob) => Effect.sync(() => put(this.#blobs, `${namespace}/${blob.hash}`, blob, this.#now())),
    getBlob: (namespace, hash) => Effect.sync(() => this.#blobs.get(`${namespace}/${hash}`)?.content ?? null),
    collect: (olderThanMs) => Effect.sync(() => this.#collect(olderThanMs))
  }
}
