/** Does to the processes what a plan says. */
import { Effect } from "effect"
import type { Children } from "./Children.ts"
import type { Database } from "./Database.ts"
import type { Fleet, Life, Place } from "./Fleet.ts"
import type { Fault } from "./Plan.ts"
import type { Provider } from "./Provider.ts"

export interface Stage {
  readonly fleet: Fleet
  readonly database: Database
  readonly provider: Provider
  readonly children: Children
  /** There are no fewer runners, and no more. */
  readonly least: number
  readonly most: number
}

const later = (ms: number, what: () => void): void => void setTimeout(what, ms)

/** What was done, or `null` where there was nobody to do it to. */
export const inject = (stage: Stage, fault: Fault): Effect.Effect<string | null> => {
  const { children, database, fleet, least, most, provider } = stage
  const wanted = fleet.places.filter(({ isWanted }) => isWanted)
  const up = fleet.running.filter(({ life }) => life.isUp)
  const pick = (n: number): (Place & { readonly life: Life }) | undefined => up[n % Math.max(1, up.length)]
  const name = (place: { readonly life: Life }) => place.life.name
  const between = (n: number, ms: number, on: (life: Life) => void, off: (life: Life) => void): string | null => {
    const place = pick(n)
    if (place === undefined) return null
    const { life } = place
    on(life)
    later(ms, () => off(life))
    return `${life.name} for ${ms} ms`
  }
  const done = (what: () => string | null) => Effect.sync(what)

  switch (fault._tag) {
    case "Kill":
    case "KillTwo":
      return done(() => {
        const one = pick(fault.runner)
        const two = fault._tag === "KillTwo" ? pick(fault.runner + 1) : undefined
        const victims = [...new Set([one, two])].filter((place) => place !== undefined)
        if (victims.length < (fault._tag === "KillTwo" ? 2 : 1)) return null
        const names = victims.map(name).join(" and ")
        for (const place of victims) fleet.kill(place, fault.downMs)
        return `${names}, down for ${fault.downMs} ms`
      })
    case "Stop":
      return done(() => {
        const place = pick(fault.runner)
        if (place === undefined || place.life.isStopped) return null
        fleet.stop(place, fault.ms)
        return `${name(place)} for ${fault.ms} ms`
      })
    case "Deploy":
      return done(() => {
        const place = pick(fault.runner)
        if (place === undefined) return null
        const who = name(place)
        fleet.leave(place, true)
        return who
      })
    case "ScaleUp":
      return wanted.length >= most
        ? Effect.succeed(null)
        : Effect.promise(async () => {
            const free = fleet.places.find((place) => !place.isWanted && place.life === null)
            if (free === undefined) return `place ${(await fleet.add()).index}`
            free.isWanted = true
            await fleet.start(free)
            return `place ${free.index}`
          })
    case "ScaleDown":
      return done(() => {
        const place = pick(fault.runner)
        if (place === undefined || wanted.length <= least) return null
        const who = name(place)
        fleet.leave(place, false)
        return who
      })
    case "DbRestart":
      return Effect.as(database.restart, "")
    case "DbBackends":
      return Effect.map(database.terminate(fault.share), (n) => `${n} of them`)
    case "DbFreeze":
      return Effect.gen(function* () {
        database.signal("SIGSTOP")
        yield* Effect.sleep(fault.ms)
        database.signal("SIGCONT")
        return `for ${fault.ms} ms`
      })
    case "DbSlow":
      return done(() =>
        between(
          fault.runner,
          fault.ms,
          ({ database }) => {
            database.latencyMs = fault.latencyMs
          },
          ({ database }) => {
            database.latencyMs = 0
          }
        )
      )
    case "DbDeaf":
      return done(() =>
        between(
          fault.runner,
          fault.ms,
          ({ database }) => {
            database.deaf = true
          },
          ({ database }) => {
            database.deaf = false
          }
        )
      )
    case "DbForgets":
      return done(() =>
        between(
          fault.runner,
          0,
          ({ database }) => database.forget(),
          () => {}
        )
      )
    case "DbCut":
      return done(() =>
        between(
          fault.runner,
          0,
          ({ database }) => database.cut(),
          () => {}
        )
      )
    case "AcksLost":
      return done(() =>
        between(
          fault.runner,
          0,
          ({ database }) => {
            database.lose += fault.count
          },
          () => {}
        )
      )
    case "PeerSlow":
      return done(() =>
        between(
          fault.runner,
          fault.ms,
          ({ peers }) => {
            peers!.latencyMs = fault.latencyMs
          },
          ({ peers }) => {
            peers!.latencyMs = 0
          }
        )
      )
    case "PeerDeaf":
      return done(() =>
        between(
          fault.runner,
          fault.ms,
          ({ peers }) => {
            peers!.deaf = true
          },
          ({ peers }) => {
            peers!.deaf = false
          }
        )
      )
    case "PeerCut":
      return done(() =>
        between(
          fault.runner,
          0,
          ({ peers }) => peers!.cut(),
          () => {}
        )
      )
    case "Provider":
      return done(() => {
        provider.mood = fault.mood
        later(fault.ms, () => {
          if (provider.mood === fault.mood) provider.mood = "well"
        })
        return `${fault.mood} for ${fault.ms} ms`
      })
    case "ChildKilled":
      return done(() => {
        const pid = children.kill(fault.n)
        return pid === null ? null : `process ${pid}`
      })
    case "ClientKilled":
      return done(() => {
        const { life } = fleet.clients
        if (life === null || !life.isUp) return null
        fleet.kill(fleet.clients, fault.downMs)
        return life.name
      })
  }
}
