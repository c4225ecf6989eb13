/**
 * How two runners find out that they know the same secret, before either reads anything else: pure functions of bytes.
 *
 * ```
 * client                                                   server
 *   hello: magic, nonce, ephemeral key, whom it wants   ─►   (another's address: cut)
 *   ◄─                        hello: magic, nonce, ephemeral key
 *   proof: HMAC of both hellos                          ─►   (wrong: cut, without a word)
 *   ◄─                                   proof: HMAC of both hellos
 * ```
 *
 * The keys come by HKDF-SHA256 from an X25519 exchange and the secret, salted with both hellos. So a conversation that
 * was captured cannot be replayed (fresh nonces and keys on both sides), cannot be read with a secret that is stolen
 * later, and one that was meant for another runner is not taken. The client proves itself first: who only knows the port
 * gets a nonce, and nothing to try secrets on. The server's proof comes before the client sends a request.
 */
import {
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual
} from "node:crypto"

/** Names the protocol and its version. */
const magic = Buffer.from("PERDURE\u0001", "latin1")
const nonceBytes = 32
const keyBytes = 32
const addressBytesMax = 255

export const magicBytes = magic.length
const prefixBytes = magic.length + nonceBytes + keyBytes

export const serverHelloBytes = prefixBytes
export const proofBytes = 32

/** One side's fresh part of a handshake. */
export interface Fresh {
  readonly privateKey: KeyObject
  readonly publicKey: Buffer
  readonly nonce: Buffer
}

export const fresh = (): Fresh => {
  const { privateKey, publicKey } = generateKeyPairSync("x25519")
  // The last 32 bytes of the DER form are the key; what comes before says that it is one of X25519.
  return {
    privateKey,
    publicKey: publicKey.export({ type: "spki", format: "der" }).subarray(-keyBytes),
    nonce: randomBytes(nonceBytes)
  }
}

const spkiPrefix = Buffer.from("302a300506032b656e032100", "hex")

const publicKeyOf = (raw: Buffer): KeyObject =>
  createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: "der", type: "spki" })

const prefix = ({ nonce, publicKey }: Fresh): Buffer => Buffer.concat([magic, nonce, publicKey])

export const serverHello = prefix

/** @param wanted the address that the client wants to talk to, as its runner has registered it */
export const clientHello = (mine: Fresh, wanted: string): Buffer => {
  const address = Buffer.from(wanted)
  if (address.length > addressBytesMax) throw new RangeError("the address of a runner has 255 bytes at most")
  return Buffer.concat([prefix(mine), Buffer.from([address.length]), address])
}

/** The fixed part of a client's hello; as many bytes as its last one says follow it, and are the address. */
export const clientHelloBytes = prefixBytes + 1

/** Whether these are the first bytes of a hello, of this version. */
export const isOurs = (hello: Buffer): boolean => hello.subarray(0, magic.length).equals(magic)

/** What both sides derive. Each direction has a key of its own: what one says cannot be sent back to it. */
export interface Keys {
  readonly fromClient: Buffer
  readonly fromServer: Buffer
  readonly clientProof: Buffer
  readonly serverProof: Buffer
}

/**
 * @param theirHello the hello of the other side, whose key is in it
 * @throws when that key is none, or one of the few that make every exchange end in zero
 */
export const keys = (
  secret: Uint8Array,
  mine: Fresh,
  theirHello: Buffer,
  hellos: { readonly client: Buffer; readonly server: Buffer }
): Keys => {
  const theirs = theirHello.subarray(magic.length + nonceBytes, prefixBytes)
  const shared = diffieHellman({ privateKey: mine.privateKey, publicKey: publicKeyOf(theirs) })
  const transcript = createHash("sha256").update(hellos.client).update(hellos.server).digest()
  const derived = Buffer.from(
    hkdfSync("sha256", Buffer.concat([shared, secret]), transcript, "perdure runner traffic 1", 4 * 32)
  )
  const key = (i: number) => derived.subarray(i * 32, (i + 1) * 32)
  const proof = (key: Buffer, who: string) => createHmac("sha256", key).update(who).update(transcript).digest()
  return {
    fromClient: key(0),
    fromServer: key(1),
    clientProof: proof(key(2), "client"),
    serverProof: proof(key(3), "server")
  }
}

/** In a time that does not depend on where they differ. */
export const isProof = (expected: Buffer, given: Buffer): boolean =>
  expected.length === given.length && timingSafeEqual(expected, given)
