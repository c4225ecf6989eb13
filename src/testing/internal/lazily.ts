import { FastCheck as fc } from "effect"

class Lazy<A> extends fc.Arbitrary<A> {
  private made: fc.Arbitrary<A> | undefined

  constructor(private readonly make: () => fc.Arbitrary<A>) {
    super()
  }

  private get it(): fc.Arbitrary<A> {
    this.made ??= this.make()
    return this.made
  }

  override generate(random: fc.Random, bias: number | undefined): fc.Value<A> {
    return this.it.generate(random, bias)
  }

  override canShrinkWithoutContext(value: unknown): value is A {
    return this.it.canShrinkWithoutContext(value)
  }

  override shrink(value: A, context: unknown): fc.Stream<fc.Value<A>> {
    return this.it.shrink(value, context)
  }
}

/**
 * An arbitrary that is made when it is first drawn from: to make one of a large schema takes longer than most tests, and
 * every test of a runner loads them.
 */
export const lazily = <A>(make: () => fc.Arbitrary<A>): fc.Arbitrary<A> => new Lazy(make)
