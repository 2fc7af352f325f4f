// A home as people write it -> a home as the API reads it; and the API's complaints in both languages.
import { current, has, number, t } from "./texts.js";

export const NUMBERS = ["latitud", "longitud", "surface", "baños", "habitaciones", "antiguedad", "superficie_util"];
export const FLAGS = ["jardin", "ascensor", "garaje"];
export const OPTIONAL = ["antiguedad", "superficie_util", "condicion"];
export const FIELDS = [
  ...["latitud", "longitud", "surface", "baños", "habitaciones", "jardin"],
  ...["antiguedad", "superficie_util", "ascensor", "garaje", "condicion"],
];
export const INTEGERS = ["baños", "habitaciones"];
const CONDITIONS = ["A reformar", "Reformado", "A estrenar", "En buen estado"];
const PLAIN_NUMBER = /^[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?$/i;
const LONGEST_CELL = 100; // characters; what is longer is wrong anyway and needn't travel
const UNKNOWN = ["", "nan", "null", "none"];
const YES = ["true", "1", "1.0", "si", "yes", "verdadero"];
const NO = ["false", "0", "0.0", "no", "falso"];

/** Text without accents and in lower case. */
export const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").trim().toLowerCase();

/** One value as the API takes it: undefined when missing, the text itself when it can't be read. */
export function value(field, text) {
  const trimmed = text.trim().slice(0, LONGEST_CELL).toWellFormed(); // half a character is no JSON
  if (UNKNOWN.includes(trimmed.toLowerCase())) return OPTIONAL.includes(field) ? null : undefined;
  if (NUMBERS.includes(field)) {
    const read = PLAIN_NUMBER.test(trimmed) ? Number(trimmed.replace(",", ".")) : NaN;
    return Number.isFinite(read) ? read : trimmed; // JSON has no infinity: it would become null, and so "unknown"
  }
  const known = plain(trimmed);
  if (!FLAGS.includes(field)) return CONDITIONS.find((condition) => plain(condition) === known) ?? trimmed;
  if (YES.includes(known)) return true;
  return NO.includes(known) ? false : trimmed;
}

/** What a value looks like to people. */
export function shown(field, given) {
  if (given === null || given === undefined) return t("unknown");
  if (typeof given === "boolean") return t(given ? "yes" : "no");
  if (typeof given !== "number") return has(given) ? t(given) : given;
  if (field === "surface" || field === "superficie_util") return `${number(given)} m²`;
  return field === "antiguedad" ? `${number(given)} ${t("years")}` : number(given);
}

/** "107 m², 3 dormitorios". */
export const size = (home) => t("size", { surface: number(home.surface), rooms: number(home.habitaciones) });

/** One complaint of the API, {msg, type}, about a field, for people. */
export function complaint(field, { msg, type }) {
  if (type === "missing") return t("missing");
  if (type === "float_type" || type === "int_type" || type === "int_from_float") return t(type === "float_type" ? "number" : "integer");
  if (type === "bool_type") return t("flag");
  if (current() === "es") return String(msg);
  const limit = /-?\d[\d.,e+]*/.exec(String(msg))?.[0].replace(/[.,]$/, "");
  const english = { greater_than: "above", greater_than_equal: "least", less_than_equal: "most", enum: "choice" };
  return t(english[type] ?? "wrong", { limit });
}

/** A warning of the API, {campo, mensaje} -> {text, lang}. Its own words are Spanish; English says what they must mean. */
export function warning({ campo, mensaje }, home, ranges) {
  const own = String(mensaje);
  const english = (key, values) => ({ text: t(key, values), lang: "en" });
  if (current() === "en") {
    const [low, high] = Object.hasOwn(ranges, campo) ? ranges[campo] : [-Infinity, Infinity];
    const [ratio, least, most] = /^Son ([\d.e+-]+) .* entre ([\d.e+-]+) y ([\d.e+-]+):/.exec(own)?.slice(1) ?? [];
    if (campo === "latitud" || campo === "longitud") return english("outOfArea");
    if (campo === "precio") return english("uncommon");
    if (ratio && has(`ratio_${campo}`)) return english("oddRatio", { ratio, least, most, words: t(`ratio_${campo}`) });
    if (home[campo] < low || home[campo] > high) {
      return english("outOfRange", { low: number(low), high: number(high) });
    }
    if (campo === "superficie_util" && home.superficie_util > home.surface) return english("usableAbove");
  }
  return { text: own, lang: "es" };
}
