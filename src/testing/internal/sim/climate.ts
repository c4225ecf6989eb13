/** How bad a run's weather is: drawn once, so that some runs are calm and some are not. */
import type { ModelWeather } from "./provider.ts"
import type { Prng } from "./Prng.ts"
import type { StoreWeather } from "./Database.ts"
import type { Weather } from "./Network.ts"
import type { Settings } from "./SimProcess.ts"

export interface Climate {
  readonly network: Weather
  readonly store: StoreWeather
  readonly model: ModelWeather
  readonly processes: Settings
}

/** @param fair nothing is slow and nothing fails by itself */
export const climateOf = (random: Prng, fair: boolean): Climate => {
  const bad = (probability: number) => (fair || random.chance(0.5) ? 0 : probability * random.next())
  return {
    network: { latency: [0.2, fair ? 1 : random.pick([2, 20, 200])] },
    store: { latency: [0.2, fair ? 1 : random.pick([2, 20, 200])], failsBefore: bad(0.05), failsAfter: bad(0.05) },
    model: {
      latency: [1, fair ? 10 : random.pick([10, 1000, 5000])],
      fails: bad(0.3),
      cuts: bad(0.2),
      hangs: bad(0.05)
    },
    processes: { operations: fair ? 2048 : random.pick([48, 512, 2048, 2048]) }
  }
}
