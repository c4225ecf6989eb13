/** One Postgres for the whole test run, unless there is one already. */
import * as Postgres from "./Postgres.ts"

export default async (): Promise<(() => Promise<void>) | undefined> => {
  if (process.env["PERDURE_TEST_DATABASE_URL"] || process.env[Postgres.variable]) return undefined
  const server = await Postgres.start()
  process.env[Postgres.variable] = server.url
  return server.stop
}
