/** Where the bytes of a blob are: in which chunks, and where in them. Pure. */
import type { BlobInfo } from "../../store/Store.ts"

/**
 * The size of all chunks but the last. Being a power of two it follows from how many there are: with twice of it there
 * would be fewer, with half of it more. One chunk has its own size.
 */
export const chunkBytesOf = (blob: BlobInfo): number => {
  const count = blob.chunks.length
  if (count <= 1) return Math.max(1, blob.bytes)
  let size = 1
  while (size * count < blob.bytes) size *= 2
  return size
}

export interface Piece {
  /** The chunk's place in the blob. */
  readonly index: number
  /** Which of its bytes, `end` not included. */
  readonly begin: number
  readonly end: number
}

/** The pieces that make up `length` bytes from `offset` on, as far as the blob goes. */
export const pieces = (blob: BlobInfo, offset: number, length: number): ReadonlyArray<Piece> => {
  const size = chunkBytesOf(blob)
  const from = Math.max(0, Math.min(offset, blob.bytes))
  const to = Math.max(from, Math.min(offset + length, blob.bytes))
  const found: Array<Piece> = []
  for (let index = Math.floor(from / size); index * size < to; index++) {
    found.push({ index, begin: Math.max(0, from - index * size), end: Math.min(size, to - index * size) })
  }
  return found
}
