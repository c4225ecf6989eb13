/**
 * What goes over a connection after the handshake: AES-256-GCM records with a counter for a nonce, so that none can be
 * read, changed, repeated, left out or moved without the reader's noticing at that very record.
 *
 * A record is four bytes of length, so much ciphertext, and a tag of 16 bytes. The length is authenticated with it; its
 * highest bit says that more of the same write follows. A write arrives in one piece: whoever parses messages would else
 * begin a long one again with each part of it (on bare TCP, 20 messages of 256 KiB took half a second).
 */
import { createCipheriv, createDecipheriv } from "node:crypto"

const lengthBytes = 4
const tagBytes = 16

/** Plain bytes of one record at most: what a peer must hold before it can tell whether a record is genuine. */
export const recordBytes = 64 * 1024

const more = 0x8000_0000

/** What is kept of one write for its rest to come, at most; a longer one arrives in several pieces. */
const heldBytes = 32 * 1024 * 1024

/** What came is not what the other side has sent: the connection is over. */
export class NotGenuine extends Error {
  override readonly name = "NotGenuine"
}

/** Counts the records of one direction. 2^53 of them do not come. */
const counter = () => {
  let count = 0
  const nonce = Buffer.alloc(12)
  return (): Buffer => {
    nonce.writeUInt32BE(Math.floor(count / 2 ** 32), 4)
    nonce.writeUInt32BE(count >>> 0, 8)
    count += 1
    return nonce
  }
}

/** Turns bytes into records. */
export const sealer = (key: Buffer) => {
  const next = counter()
  const one = (bytes: Uint8Array, isLast: boolean): ReadonlyArray<Buffer> => {
    const length = Buffer.allocUnsafe(lengthBytes)
    length.writeUInt32BE((bytes.length | (isLast ? 0 : more)) >>> 0)
    const cipher = createCipheriv("aes-256-gcm", key, next()).setAAD(length)
    const sealed = cipher.update(bytes)
    cipher.final()
    return [length, sealed, cipher.getAuthTag()]
  }
  return (bytes: Uint8Array): Buffer => {
    const out: Array<Buffer> = []
    for (let at = 0; at < bytes.length; at += recordBytes) {
      out.push(...one(bytes.subarray(at, at + recordBytes), at + recordBytes >= bytes.length))
    }
    return Buffer.concat(out)
  }
}

/** Turns what arrives, in whatever pieces, into the bytes that were sent. Throws {@link NotGenuine}. */
export const opener = (key: Buffer) => {
  const next = counter()
  let pieces: Array<Buffer> = []
  let held = 0
  /** How many bytes must be held for something to come of them. */
  let wanted = lengthBytes
  /** What has come of a write that is not whole yet. */
  let write: Array<Buffer> = []
  let writeBytes = 0

  const one = (length: Buffer, sealed: Buffer, tag: Buffer): Buffer => {
    const decipher = createDecipheriv("aes-256-gcm", key, next()).setAAD(length).setAuthTag(tag)
    const bytes = decipher.update(sealed)
    try {
      decipher.final()
    } catch {
      throw new NotGenuine("a record was changed, repeated or made by somebody else")
    }
    return bytes
  }

  return (piece: Buffer): ReadonlyArray<Buffer> => {
    pieces.push(piece)
    held += piece.length
    if (held < wanted) return []
    let all = pieces.length === 1 ? piece : Buffer.concat(pieces)
    const out: Array<Buffer> = []
    wanted = lengthBytes
    while (all.length >= lengthBytes) {
      const head = all.readUInt32BE(0)
      const length = head & ~more
      if (length === 0 || length > recordBytes) throw new NotGenuine(`a record cannot have ${length} bytes`)
      const end = lengthBytes + length + tagBytes
      if (all.length < end) {
        wanted = end
        break
      }
      write.push(
        one(all.subarray(0, lengthBytes), all.subarray(lengthBytes, end - tagBytes), all.subarray(end - tagBytes, end))
      )
      writeBytes += length
      if ((head & more) === 0 || writeBytes >= heldBytes) {
        out.push(write.length === 1 ? write[0]! : Buffer.concat(write))
        write = []
        writeBytes = 0
      }
      all = all.subarray(end)
    }
    pieces = all.length === 0 ? [] : [all]
    held = all.length
    return out
  }
}
