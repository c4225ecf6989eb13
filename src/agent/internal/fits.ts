/**
 * Whether every value of one schema is one of another, as far as their shapes say so.
 *
 * Lenient: only what certainly does not fit is told. Filters (a length, a pattern) and declarations that it does not know
 * are taken for fitting.
 */
import type { SchemaAST as AST } from "effect"

/** How deep it looks into schemas that contain themselves. */
const depthMost = 24

const shown = (ast: AST.AST): string => {
  const text = String(ast)
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`
}

const at = (path: string, reason: string): string => (path === "" ? reason : `at ${path}: ${reason}`)

/** What a filter or a reference stands for. */
const bare = (ast: AST.AST): AST.AST => {
  switch (ast._tag) {
    case "Refinement":
      return bare(ast.from)
    case "Suspend":
      return bare(ast.f())
    case "Transformation":
      return bare(ast.to)
    default:
      return ast
  }
}

const isObject = (ast: AST.AST): boolean =>
  ast._tag === "TypeLiteral" || ast._tag === "TupleType" || ast._tag === "Declaration" || ast._tag === "ObjectKeyword"

const literalKind = (ast: AST.AST): string | null => {
  switch (ast._tag) {
    case "Literal":
      return ast.literal === null ? "null" : typeof ast.literal
    case "TemplateLiteral":
    case "StringKeyword":
      return "string"
    case "Enums":
      return typeof ast.enums[0]?.[1]
    case "NumberKeyword":
      return "number"
    case "BooleanKeyword":
      return "boolean"
    case "BigIntKeyword":
      return "bigint"
    case "SymbolKeyword":
    case "UniqueSymbol":
      return "symbol"
    case "UndefinedKeyword":
    case "VoidKeyword":
      return "undefined"
    default:
      return null
  }
}

const fields = (from: AST.TypeLiteral, to: AST.TypeLiteral, path: string, depth: number): string | null => {
  for (const wanted of to.propertySignatures) {
    const name = `${path}.${String(wanted.name)}`
    const found = from.propertySignatures.find((one) => one.name === wanted.name)
    if (found === undefined) {
      if (!wanted.isOptional && from.indexSignatures.length === 0) return at(name, "it is required, and not there")
      continue
    }
    if (found.isOptional && !wanted.isOptional) return at(name, "it is required, and may be missing")
    const reason = look(found.type, wanted.type, name, depth)
    if (reason !== null) return reason
  }
  for (const { parameter, type } of to.indexSignatures) {
    if (literalKind(bare(parameter)) !== "string") continue
    for (const one of from.propertySignatures) {
      const reason = look(one.type, type, `${path}.${String(one.name)}`, depth)
      if (reason !== null) return reason
    }
    for (const one of from.indexSignatures) {
      const reason = look(one.type, type, `${path}.*`, depth)
      if (reason !== null) return reason
    }
  }
  return null
}

const items = (from: AST.TupleType, to: AST.TupleType, path: string, depth: number): string | null => {
  const restOf = (tuple: AST.TupleType) => tuple.rest[0]?.type
  for (const [i, wanted] of to.elements.entries()) {
    const found = from.elements[i]
    if (found === undefined || (found.isOptional && !wanted.isOptional)) {
      if (!wanted.isOptional) return at(`${path}[${i}]`, "it is required, and may be missing")
      continue
    }
    const reason = look(found.type, wanted.type, `${path}[${i}]`, depth)
    if (reason !== null) return reason
  }
  const rest = restOf(to)
  const extra = [
    ...from.elements.slice(to.elements.length).map(({ type }) => type),
    ...from.rest.map(({ type }) => type)
  ]
  if (rest === undefined) return extra.length === 0 ? null : at(path, "it may have more elements than are taken")
  for (const type of extra) {
    const reason = look(type, rest, `${path}[]`, depth)
    if (reason !== null) return reason
  }
  return null
}

const look = (given: AST.AST, wanted: AST.AST, path: string, depth: number): string | null => {
  if (given === wanted || depth > depthMost) return null
  const [from, to] = [bare(given), bare(wanted)]
  if (from === to || to._tag === "UnknownKeyword" || to._tag === "AnyKeyword") return null
  if (from._tag === "NeverKeyword" || from._tag === "AnyKeyword") return null
  const wrong = at(path, `${shown(from)} is no ${shown(to)}`)
  if (from._tag === "UnknownKeyword") return wrong
  if (from._tag === "Union") {
    for (const one of from.types) {
      const reason = look(one, to, path, depth + 1)
      if (reason !== null) return reason
    }
    return null
  }
  if (to._tag === "Union") {
    const reasons = to.types.map((one) => look(from, one, path, depth + 1))
    return reasons.includes(null) ? null : wrong
  }
  if (to._tag === "Literal") {
    return from._tag === "Literal" && from.literal === to.literal ? null : from._tag === "Enums" ? null : wrong
  }
  if (to._tag === "ObjectKeyword") return isObject(from) ? null : wrong
  if (from._tag === "TypeLiteral" && to._tag === "TypeLiteral") return fields(from, to, path, depth + 1)
  if (from._tag === "TupleType" && to._tag === "TupleType") return items(from, to, path, depth + 1)
  const [kind, other] = [literalKind(from), literalKind(to)]
  if (kind !== null && other !== null) return kind === other ? null : wrong
  // `{}` takes everything but null and undefined.
  if (to._tag === "TypeLiteral" && to.propertySignatures.length === 0 && to.indexSignatures.length === 0) {
    return kind === "null" || kind === "undefined" ? wrong : null
  }
  if (from._tag === "Declaration" || to._tag === "Declaration") {
    return kind !== null || other !== null ? wrong : null
  }
  return wrong
}

/** Why not every value of `from` is one of `to`; `null` where nothing says so. Both are of decoded values. */
export const misfit = (from: AST.AST, to: AST.AST): string | null => look(from, to, "", 0)
