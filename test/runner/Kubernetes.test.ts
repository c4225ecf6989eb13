/** The manifest is what it says: its command is run with its environment, its probes are asked, its signal is sent. */
import { readdirSync, readFileSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import { parseAllDocuments } from "yaml"
import { defaults } from "../../src/session/Settings.ts"
import { fixture, start } from "../cli/perdure.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"

interface Variable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly secretKeyRef?: { readonly key: string }
    readonly fieldRef?: { readonly fieldPath: string }
  }
}

const documents = parseAllDocuments(readFileSync("examples/kubernetes/perdure.yaml", "utf8"))
const manifests = documents.map((document) => document.toJS())
const of = (kind: string) => manifests.find((manifest) => manifest.kind === kind)
const deployment = of("Deployment")
const pod = deployment.spec.template.spec
const container = pod.containers[0]
const variables: ReadonlyArray<Variable> = container.env
const dockerfile = readFileSync("examples/kubernetes/Dockerfile", "utf8")

const sources = (directory: string): string =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => readFileSync(join(directory, path), "utf8"))
    .join("\n")

const freePort = Effect.async<number>((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

describe("the Kubernetes example", () => {
  it("is YAML without errors, and what belongs together has the same labels", () => {
    expect(documents.flatMap((document) => [...document.errors, ...document.warnings])).toEqual([])
    expect(manifests.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).toEqual([
      "apps/v1 Deployment",
      "policy/v1 PodDisruptionBudget",
      "networking.k8s.io/v1 NetworkPolicy"
    ])
    const { labels } = deployment.spec.template.metadata
    expect(deployment.spec.selector.matchLabels).toEqual(labels)
    expect(of("PodDisruptionBudget").spec.selector.matchLabels).toEqual(labels)
    expect(of("NetworkPolicy").spec.podSelector.matchLabels).toEqual(labels)
  })

  it("sets what the program reads, probes the port that it serves, and runs the image's own command", () => {
    const read = sources("src")
    for (const { name, value = "" } of variables) {
      // Node's own.
      if (name === "NODE_OPTIONS") expect(process.allowedNodeEnvironmentFlags.has(value.split("=")[0]!)).toBe(true)
      else expect(read).toContain(`\`${name}\``)
    }
    const port = (name: string) => container.ports.find((port: { name: string }) => port.name === name).containerPort
    const value = (name: string) => Number(variables.find((variable) => variable.name === name)!.value)
    expect([port("runner"), port("health")]).toEqual([value("PERDURE_PORT"), value("PERDURE_HEALTH_PORT")])
    for (const probe of [container.readinessProbe, container.livenessProbe, container.startupProbe]) {
      expect(probe.httpGet.port).toBe("health")
    }
    expect(dockerfile).toContain(`CMD ${JSON.stringify(container.args).replaceAll(",", ", ")}`)
  })

  it("waits long enough for a drain, and never leaves fewer runners than it should have", () => {
    const drain = Duration.toSeconds(defaults.drain)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(10 * drain)
    expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(of("PodDisruptionBudget").spec.maxUnavailable).toBe(1)
  })

  it.scopedLive(
    "starts a runner that its probes find ready, and that leaves at SIGTERM by itself",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const port = yield* freePort
        // Where a test cannot have what a pod has.
        const given: Record<string, string> = { PERDURE_PORT: String(port), PERDURE_HEALTH_PORT: "0" }
        const secrets: Record<string, string> = {
          "database-url": Redacted.value(database),
          "cluster-secret": "as openssl rand -base64 32 would make it"
        }
        const env = Object.fromEntries(
          variables.map(({ name, value, valueFrom }) => [
            name,
            given[name] ??
              value ??
              (valueFrom?.fieldRef === undefined ? secrets[valueFrom!.secretKeyRef!.key]! : "127.0.0.1")
          ])
        )
        const [, command, agents] = container.args as ReadonlyArray<string>
        expect(agents).toBe("agents.ts")
        const runner = start([command!, fixture("cli/weather.ts")], { env })
        yield* Effect.addFinalizer(() => Effect.sync(() => runner.child.kill("SIGKILL")))

        // A free port was asked for: it says which one it has.
        yield* Effect.promise(() => runner.says("health on port "))
        const health = Number(/health on port (\d+)/.exec(runner.output())![1])
        expect(health).toBeGreaterThan(0)
        const probe = (path: string) =>
          Effect.tryPromise(() => fetch(`http://127.0.0.1:${health}${path}`)).pipe(
            Effect.filterOrFail((response) => response.status === 200),
            Effect.retry(Runners.often),
            Effect.orDie
          )
        yield* probe(container.readinessProbe.httpGet.path)
        yield* probe(container.livenessProbe.httpGet.path)

        runner.child.kill("SIGTERM")
        const { code, stderr } = yield* Effect.promise(() => runner.ended)
        expect(code).toBe(0)
        expect(stderr).toContain("draining")
      }),
    60_000
  )
})
