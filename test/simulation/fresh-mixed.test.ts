import { mixed } from "./features.ts"
import { search } from "./fresh.ts"

search("mixed", mixed)
