import { Schema } from "effect"

/** A runner does not start with settings by which it would talk to nobody, or to anybody. */
export class TrafficMisconfigured extends Schema.TaggedError<TrafficMisconfigured>()("TrafficMisconfigured", {
  setting: Schema.String,
  /** What is wrong and what to do; never a secret. */
  reason: Schema.String
}) {
  override get message() {
    return `${this.setting}: ${this.reason}`
  }
}
