/** Chance from a seed: the same seed gives the same numbers on every machine (sfc32, 128 bits of state). */
export class Prng {
  #a: number
  #b: number
  #c: number
  #d: number

  /** @param seed any text: `42`, or `42/network` for a stream of its own */
  constructor(readonly seed: string) {
    // FNV-1a over the text, continued for each word of the state.
    let hash = 0x811c9dc5
    const word = (salt: number): number => {
      hash = Math.imul(hash ^ salt, 0x01000193)
      for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193)
      return hash >>> 0
    }
    this.#a = word(1)
    this.#b = word(2)
    this.#c = word(3)
    this.#d = word(4) | 1
    for (let i = 0; i < 12; i++) this.bits()
  }

  /** A stream of its own: what one part of the world draws does not move what another does. */
  fork(name: string): Prng {
    return new Prng(`${this.seed}/${name}`)
  }

  /** 32 bits. */
  bits(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return sum >>> 0
  }

  /** In [0, 1). */
  next(): number {
    return this.bits() / 4294967296
  }

  /** An integer in [from, to], both included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1))
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability
  }

  pick<A>(from: ReadonlyArray<A>): A {
    return from[this.int(0, from.length - 1)]!
  }

  /** Mostly short, now and then long: between `from` and about `to`, whose tail is a hundredth of the draws. */
  skewed(from: number, to: number): number {
    const x = this.next()
    return from + (to - from) * x * x * x * x
  }
}
