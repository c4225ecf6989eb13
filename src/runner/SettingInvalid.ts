import { Schema } from "effect"

/** A setting of a runner is none, or does not fit the others: the runner does not start. */
export class SettingInvalid extends Schema.TaggedError<SettingInvalid>()("SettingInvalid", {
  /** The variable of the environment; of what has none, the name in the program. */
  setting: Schema.String,
  /** What is wrong, and the form that is wanted. */
  reason: Schema.String
}) {
  override get message() {
    return `${this.setting}: ${this.reason}`
  }
}
