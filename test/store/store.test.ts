import { Effect, Layer } from "effect"
import { Postgres, Sqlite } from "../../src/store/index.ts"
import * as TestPostgres from "../support/Postgres.ts"
import { suite } from "./suite.ts"

suite("sqlite", Sqlite.layerTemporary)
suite("sqlite in memory", Sqlite.layerMemory)
suite("postgres", Layer.unwrapScoped(Effect.map(TestPostgres.database, (url) => Postgres.layer({ url }))))
