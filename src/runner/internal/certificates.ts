/** Mutual TLS: what the files say, read once when the runner starts. */
import { readFileSync } from "node:fs"
import * as tls from "node:tls"
import { Effect } from "effect"
import type { TlsSettings } from "../Settings.ts"
import { TrafficMisconfigured } from "../TrafficMisconfigured.ts"

export interface Certificates {
  /** For both sides: each shows its certificate and asks for the other's. */
  readonly options: {
    readonly cert: Buffer
    readonly key: Buffer
    readonly ca: Buffer
    readonly minVersion: "TLSv1.3"
    readonly requestCert: true
    readonly rejectUnauthorized: true
  }
  /** The name that the other side's certificate must bear; `null`: as a server any, as a client the host that it dials. */
  readonly name: string | null
}

const file = (variable: string, path: string) =>
  path === ""
    ? new TrafficMisconfigured({
        setting: variable,
        reason: "it is not set: mutual TLS needs PERDURE_TLS_CERT, PERDURE_TLS_KEY and PERDURE_TLS_CA"
      })
    : Effect.try({
        try: () => readFileSync(path),
        catch: (cause) =>
          new TrafficMisconfigured({
            setting: variable,
            reason: `its file cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}): mount it, or let this process read it`
          })
      })

/** Reads and tries them: what OpenSSL does not take is found now, not at the first connection. */
export const load = ({ ca, cert, key, name }: TlsSettings): Effect.Effect<Certificates, TrafficMisconfigured> =>
  Effect.gen(function* () {
    const options = {
      cert: yield* file("PERDURE_TLS_CERT", cert),
      key: yield* file("PERDURE_TLS_KEY", key),
      ca: yield* file("PERDURE_TLS_CA", ca),
      minVersion: "TLSv1.3",
      requestCert: true,
      rejectUnauthorized: true
    } as const
    yield* Effect.try({
      try: () => tls.createSecureContext(options),
      catch: (cause) =>
        new TrafficMisconfigured({
          setting: "PERDURE_TLS_CERT, PERDURE_TLS_KEY, PERDURE_TLS_CA",
          reason: `OpenSSL does not take them (${(cause as NodeJS.ErrnoException).code ?? "unknown"}): they must be PEM files, the key that of the certificate`
        })
    })
    return { options, name }
  })
