/** The typed client. */
export * as Client from "./Client.ts"
export type {
  Accepted,
  FeedFailure,
  Raise,
  Refused,
  SendOptions,
  Session,
  StopOptions,
  Unavailable
} from "./Session.ts"
export { ClientSettings, defaults as clientDefaults, type Settings as ClientSettingsValues } from "./Settings.ts"
export { TurnNotCompleted } from "./TurnNotCompleted.ts"
export { type Remote, Transport, type TransportError } from "./Transport.ts"
