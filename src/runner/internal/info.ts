/** What a runner leaves in the store for the others. */

export interface Info {
  /** The cluster's own record. */
  readonly runner: string
  /** The number that makes its message ids unique. */
  readonly machine: number
  /** Of the secrets that it takes from others; absent where it takes any certificate's word, or is of an earlier version. */
  readonly secrets?: ReadonlyArray<string> | undefined
}

export const infoOf = (row: { readonly info: string }): Info => JSON.parse(row.info) as Info
