/**
 * How much a model can be given, in tokens, input and answer together. As read in May 2026 from the providers' pages; an
 * agent may say otherwise (`compaction.window`).
 */
const windows: ReadonlyArray<readonly [string, number]> = [
  ["claude", 200_000],
  ["gpt-5", 400_000],
  ["gpt-4.1", 1_000_000],
  ["gpt-4o", 128_000],
  ["o3", 200_000],
  ["o4-mini", 200_000]
]

/** By the beginning of the model's id; `null` where it is not known. */
export const of = (model: string | null): number | null =>
  model === null ? null : (windows.find(([name]) => model.startsWith(name))?.[1] ?? null)
