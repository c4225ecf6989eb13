/**
 * Ways to survive one's parent, as shell scripts. Each keeps `$MARK` where a witness sees it: in the environment, or in
 * the arguments where the environment is cleared. `bearers` of it appear.
 */
export interface Tree {
  readonly name: string
  readonly script: string
  readonly bearers: number
  /** The command itself ends at once, and its supervisor with it. */
  readonly ends?: true
  /** The only thing that ties it to its step is the output that it kept: `ps` does not show that. */
  readonly byOutput?: true
}

/** What every backend catches. */
export const trees: ReadonlyArray<Tree> = [
  { name: "a child in a session of its own (setsid)", script: "setsid sleep 1000 & wait", bearers: 2 },
  { name: "a child that ignores SIGHUP (nohup)", script: "nohup sleep 1000 >/dev/null 2>&1 & wait", bearers: 2 },
  {
    name: "a daemon: forked twice, in a session of its own, adopted by init",
    script: "(setsid sh -c 'sleep 1000 & exit' >/dev/null 2>&1 &); sleep 1000",
    bearers: 3
  },
  { name: "a tree that ignores SIGTERM", script: "trap '' TERM HUP INT; sleep 1000 & sleep 1000; wait", bearers: 3 },
  { name: "a child that outlives its parent", script: "sleep 1000 & exit 0", bearers: 1, ends: true },
  { name: "a command that has stopped itself", script: "sleep 1000 & kill -STOP $$", bearers: 2 },
  {
    name: "a daemon without a marker, in a session of its own, that kept the output",
    script: `env -i setsid sh -c "(sh -c 'sleep 1000; : $MARK' &)" & sleep 1000`,
    bearers: 3,
    byOutput: true
  },
  {
    name: "a daemon without marker or output, whose parent lived for a moment",
    script: `env -i setsid sh -c "sh -c 'sleep 1000; : $MARK' & sleep 0.5" >/dev/null 2>&1 & sleep 1000`,
    bearers: 3
  },
  {
    name: "a process that starts itself anew in ever new sessions",
    script: `export AGAIN='sleep 0.01; setsid sh -c "$AGAIN" & exit'; setsid sh -c "$AGAIN" & sleep 1000`,
    bearers: 3
  }
]

/** What only a PID namespace catches: nothing ties it to the tree any more when somebody looks. */
export const untraceable: Tree = {
  name: "a daemon that keeps no marker, no output and no parent",
  script: `env -i setsid sh -c "(setsid sh -c 'sleep 1000; : $MARK' &)" >/dev/null 2>&1 </dev/null; sleep 1000`,
  bearers: 2
}
