/** How long a connection may take to prove itself, its TCP and TLS included. A busy runner needs a part of it. */
export const handshake_ms = 5000

/** So many connections may be about to prove themselves. One more, and the oldest is cut: they take milliseconds. */
export const halfOpen_max = 64

/** After so long without traffic the kernel asks whether the other side is still there. */
export const keepAlive_ms = 10_000
