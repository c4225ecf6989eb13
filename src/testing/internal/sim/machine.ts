/** The machine that a process runs on: a partition separates machines, and `runner-1.2` is on the one of `runner-1.1`. */
export const machineOf = (process: { readonly name: string }): string => process.name.split(".")[0]!
