import { Effect, Layer } from "effect"
import { Postgres, Sqlite } from "../../src/store/index.ts"
import { SimStore } from "../../src/testing/internal/sim/SimStore.ts"
import * as TestPostgres from "../support/Postgres.ts"
import { suite } from "./suite.ts"

suite("sqlite", Sqlite.layerTemporary)
suite("sqlite in memory", Sqlite.layerMemory)
suite("simulated", SimStore.layer)
suite("postgres", Layer.unwrapScoped(Effect.map(TestPostgres.database, (url) => Postgres.layer({ url }))))
