import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { load } from "../../src/runner/internal/certificates.ts"
import { dial } from "../../src/runner/internal/dial.ts"
import { ask, at, other, runner, secret } from "./listener.ts"

const openssl = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { cwd: home, stdio: "pipe" })

const hasOpenssl = (() => {
  try {
    return execFileSync("openssl", ["version"]).length > 0
  } catch {
    return false
  }
})()

let home = ""

const authority = (name: string) =>
  openssl(
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.pem`]
  )

const certificate = (name: string, by: string, names: string) => {
  openssl(
    ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${name}`],
    ...["-keyout", `${name}.key`, "-out", `${name}.csr`]
  )
  writeFileSync(join(home, `${name}.ext`), `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`)
  openssl(
    ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${by}.pem`, "-CAkey", `${by}.key`, "-CAcreateserial"],
    ...["-days", "2", "-extfile", `${name}.ext`, "-out", `${name}.pem`]
  )
}

beforeAll(() => {
  if (!hasOpenssl) return
  home = mkdtempSync(join(tmpdir(), "perdure-tls-"))
  authority("ours")
  authority("theirs")
  certificate("runner", "ours", "DNS:perdure-runner,IP:127.0.0.1")
  certificate("printer", "ours", "DNS:printer,IP:127.0.0.1")
  certificate("stranger", "theirs", "DNS:perdure-runner,IP:127.0.0.1")
})
afterAll(() => rmSync(home, { recursive: true, force: true }))

const files = (cert: string, ca = "ours", name: string | null = "perdure-runner") => ({
  cert: join(home, `${cert}.pem`),
  key: join(home, `${cert}.key`),
  ca: join(home, `${ca}.pem`),
  name
})

describe.skipIf(!hasOpenssl)("runner traffic by mutual TLS", () => {
  it.scopedLive("is understood by who has a certificate of the cluster's authority, whatever address is dialled", () =>
    Effect.gen(function* () {
      const certificates = yield* load(files("runner"))
      const { port } = yield* runner({ certificates, secrets: null })
      const long = "words and words ".repeat(100_000)
      expect(yield* ask(yield* dial(null, certificates)(at(port)), long)).toBe(long.toUpperCase())
      expect(yield* ask(yield* dial(null, certificates)(at(port, "localhost")), "hello")).toBe("HELLO")
    })
  )

  it.scopedLive("is heard from nobody else: no certificate, another authority's, another name's, no TLS at all", () =>
    Effect.gen(function* () {
      const certificates = yield* load(files("runner"))
      const { heard, port } = yield* runner({ certificates, secrets: null })
      for (const strangers of [files("printer"), files("stranger")]) {
        // It looks away where the runner's certificate is concerned: it wants in.
        const theirs = yield* load(strangers)
        const options = { ...theirs.options, rejectUnauthorized: false as never }
        yield* Effect.flip(ask(yield* dial(null, { options, name: null })(at(port)), "let me in"))
      }
      const bare = yield* Effect.async<string>((resume) => {
        const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () =>
          socket.write("let me in")
        )
        socket.on("error", () => {})
        socket.on("close", () => resume(Effect.succeed("closed")))
      })
      expect(bare).toBe("closed")
      yield* Effect.flip(ask(yield* dial(secret, null)(at(port)), "let me in"))
      expect(heard).toEqual([])
      expect(yield* ask(yield* dial(null, certificates)(at(port)), "hello")).toBe("HELLO")
    })
  )

  it.scopedLive("is said to nobody else: a client checks the authority and the name of whom it dials", () =>
    Effect.gen(function* () {
      const client = yield* load(files("runner"))
      for (const pretender of [files("printer"), files("stranger", "ours")]) {
        const { heard, port } = yield* runner({
          certificates: yield* load({ ...pretender, name: null }),
          secrets: null
        })
        yield* Effect.flip(ask(yield* dial(null, client)(at(port)), "a prompt that is private"))
        expect(heard).toEqual([])
      }
      // Without a name of its own for runners, a certificate must be for the host that is dialled.
      const certificates = yield* load(files("runner", "ours", null))
      const { port } = yield* runner({ certificates, secrets: null })
      expect(yield* ask(yield* dial(null, certificates)(at(port)), "hello")).toBe("HELLO")
      yield* Effect.flip(ask(yield* dial(null, certificates)(at(port, "localhost")), "hello"))
    })
  )

  it.scopedLive("wants the secret as well where one is set", () =>
    Effect.gen(function* () {
      const certificates = yield* load(files("runner"))
      const { heard, port } = yield* runner({ certificates, secrets: [secret] })
      yield* Effect.flip(ask(yield* dial(other, certificates)(at(port)), "let me in"))
      expect(heard).toEqual([])
      expect(yield* ask(yield* dial(secret, certificates)(at(port)), "hello")).toBe("HELLO")
    })
  )

  it.effect("does not start with files that are missing, or are no pair", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(load({ ...files("runner"), key: join(home, "nothing.key") }))
      expect(missing.message).toMatch(/PERDURE_TLS_KEY: its file cannot be read \(ENOENT\)/)
      const unset = yield* Effect.flip(load({ ...files("runner"), ca: "" }))
      expect(unset.message).toMatch(/PERDURE_TLS_CA: it is not set/)
      const mixed = yield* Effect.flip(load({ ...files("runner"), key: join(home, "printer.key") }))
      expect(mixed.message).toMatch(/OpenSSL does not take them \(ERR_OSSL_X509_KEY_VALUES_MISMATCH\)/)
    })
  )
})
