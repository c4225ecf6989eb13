/** What must not compile. An expectation that is not met is an error itself. */
import { Id } from "perdure/domain"

// @ts-expect-error: one id cannot be passed for another
export const id: Id.SessionId = Id.CommandId.make("c1")
