/** The processes of a run. */
import { compile } from "../support/compiled.ts"

export interface Programs {
  readonly runner: string
  readonly client: string
  readonly remove: () => void
}

/** To be removed. */
export const build = (): Programs => {
  const { path, remove } = compile("chaos", ["test/chaos/runner.main.ts", "test/chaos/client.main.ts"])
  return { runner: path("test/chaos/runner.main.ts"), client: path("test/chaos/client.main.ts"), remove }
}
