/** What a stranger writes first, in a project of their own. */
import { Id, Json } from "perdure/domain"

const id: Id.SessionId = Id.SessionId.make("user-42")
if (!Json.isJson({ id })) throw new Error("a session id is JSON")
console.log(`hello ${id}`)
