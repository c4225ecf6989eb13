import { type Feature, features } from "./features.ts"
import { search } from "./fresh.ts"

const names = Object.keys(features) as ReadonlyArray<Feature>

for (const name of names) search(name, features[name], 1 / names.length)
