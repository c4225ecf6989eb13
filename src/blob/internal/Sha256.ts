import * as crypto from "node:crypto"

/** Hex sha256 of bytes that are here. */
export const hexOf: (bytes: Uint8Array) => string =
  typeof crypto.hash === "function"
    ? (bytes) => crypto.hash("sha256", bytes, "hex")
    : (bytes) => crypto.createHash("sha256").update(bytes).digest("hex")

/** For bytes that come in pieces. */
export const incremental = () => crypto.createHash("sha256")
