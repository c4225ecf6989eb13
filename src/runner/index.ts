/** Layers that put a runner together. */
export * as Agreement from "./Agreement.ts"
export { Capacity, type Values as CapacityValues } from "./Capacity.ts"
export * as Cluster from "./Cluster.ts"
export { Credentials } from "./Credentials.ts"
export * as Door from "./Door.ts"
export * as Health from "./Health.ts"
export * as Membership from "./Membership.ts"
export * as Otlp from "./Otlp.ts"
export * as Recovery from "./Recovery.ts"
export * as Runner from "./Runner.ts"
export { SettingInvalid } from "./SettingInvalid.ts"
export {
  defaults as runnerDefaults,
  RunnerSettings,
  type Settings as RunnerSettingsValues,
  type TlsSettings
} from "./Settings.ts"
export * as Traffic from "./Traffic.ts"
export * as Watchdog from "./Watchdog.ts"
