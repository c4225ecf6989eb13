export { type BlobInfo, Blobs, type BlobWriter } from "./Blobs.ts"
export * as Claim from "./Claim.ts"
export { BlobSettings, defaults as blobDefaults, type Values as BlobSettingsValues } from "./Settings.ts"
