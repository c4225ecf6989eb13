/**
 * A list that only grows, as plain JSON: adding to it copies its last page and the list of pages, so that the ten
 * thousandth message costs what the hundredth did.
 */
export type Pages<A> = ReadonlyArray<ReadonlyArray<A>>

/** All pages but the last have this many items. */
const size = 128

export const append = <A>(pages: Pages<A>, item: A): Pages<A> => {
  const last = pages[pages.length - 1]
  return last === undefined || last.length === size ? [...pages, [item]] : [...pages.slice(0, -1), [...last, item]]
}

export const length = (pages: Pages<unknown>): number =>
  pages.length === 0 ? 0 : (pages.length - 1) * size + pages[pages.length - 1]!.length

export const at = <A>(pages: Pages<A>, index: number): A | undefined => pages[Math.floor(index / size)]?.[index % size]

export const last = <A>(pages: Pages<A>): A | undefined => pages[pages.length - 1]?.at(-1)

/** The pages of a list. */
export const from = <A>(items: ReadonlyArray<A>): Pages<A> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))

/** All items in order, as an array of one's own. */
export const toArray = <A>(pages: Pages<A>): Array<A> => pages.flat() as Array<A>
