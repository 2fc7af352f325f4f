// CSV text -> homes to price, and priced homes -> CSV text. Knows nothing of the page.
import { FIELDS, OPTIONAL, plain, value } from "./home.js";
import { number, t } from "./texts.js";

const Papa = window.Papa; // a plain script of the page
export const MOST_MEGABYTES = 10;
export const MOST_ROWS = 20_000;
const ADDED = ["precio_estimado", "intervalo_inferior", "intervalo_superior", "avisos", "error"];
const BY_PLAIN_NAME = new Map(FIELDS.map((field) => [plain(field), field]));
// A spreadsheet takes such a cell for a formula, whoever wrote it, unless it is just a number.
const FORMULA = /^(?!\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?\s*$)\s*[=+\-@＝＋－＠\t\r\n]/i;

/** A file that can't be priced; the message is for people. */
export class TableError extends Error {}

/** The bytes of a file -> text: UTF-8, or what spreadsheets in Spanish write when it isn't. Throws TableError. */
export function text(bytes) {
  const [first, second] = new Uint8Array(bytes);
  const wide = (first === 0xff && second === 0xfe && "utf-16le") || (first === 0xfe && second === 0xff && "utf-16be");
  for (const encoding of wide ? [wide] : ["utf-8", "windows-1252"]) {
    try {
      const decoded = new TextDecoder(encoding, { fatal: true }).decode(bytes);
      if (decoded.includes("\0")) break;
      return decoded;
    } catch {
      // Not in this encoding; try the next.
    }
  }
  throw new TableError(t("csvNotText"));
}

/**
 * CSV text -> {header, rows, homes, unused, delimiter}; homes[i] is rows[i] for the API, or null where the row has
 * more cells than the header: an unquoted decimal comma would shift them into each other's place. Throws TableError.
 */
export function parse(content) {
  const { data, meta } = Papa.parse(content, { skipEmptyLines: "greedy", preview: MOST_ROWS + 2 });
  const [header = [], ...rows] = data;
  if (rows.length > MOST_ROWS) throw new TableError(t("csvTooMany", { limit: number(MOST_ROWS) }));
  const fields = header.map((name) => BY_PLAIN_NAME.get(plain(name).replace(/[\s-]+/g, "_")) ?? null);
  const missing = FIELDS.filter((field) => !fields.includes(field) && !OPTIONAL.includes(field));
  if (missing.length > 0) throw new TableError(t("csvMissing", { columns: missing.join(", ") }));
  const twice = fields.find((field, i) => field && fields.indexOf(field) !== i);
  if (twice) throw new TableError(t("csvTwice", { column: twice }));
  if (rows.length === 0) throw new TableError(t("csvEmpty"));
  const homes = rows.map((cells) => {
    if (cells.slice(header.length).some((cell) => cell.trim())) return null;
    const known = fields.flatMap((field, i) => (field ? [[field, value(field, cells[i] ?? "")]] : []));
    return Object.fromEntries(known.filter(([, given]) => given !== undefined));
  });
  return { header, rows, homes, unused: header.filter((_, i) => !fields[i]), delimiter: meta.delimiter };
}

/** Add what came back, {answer} or {error} for each row in turn, and write it all for a spreadsheet to read. */
export function write({ header, rows, delimiter }, outcomes) {
  const added = ADDED.map((name) => (header.includes(name) ? `${name}_2` : name));
  const lines = rows.map((cells, i) => {
    const { answer, error = "" } = outcomes[i] ?? {};
    const own = header.map((_, column) => cells[column] ?? "");
    const { inferior, superior } = answer?.intervalo ?? {};
    const notes = (answer?.avisos ?? []).map(({ campo, mensaje }) => `${campo}: ${mensaje}`).join(" ");
    return [...own, rounded(answer?.precio), rounded(inferior), rounded(superior), notes, error];
  });
  // Everything is quoted: a cell must stay one cell for a spreadsheet that splits at another character.
  const written = Papa.unparse([[...header, ...added], ...lines], { quotes: true, delimiter, escapeFormulae: FORMULA });
  return `\ufeff${written}`; // without the mark, Excel reads UTF-8 as something else
}

/** A file to start from: the columns, and two made-up homes. */
export const template = () =>
  Papa.unparse([
    FIELDS,
    [40.4237, -3.6712, 96, 2, 3, "no", 30, 84, "si", "no", "En buen estado"],
    [40.323, -3.865, 75, 1, 2, "no", "", "", "no", "si", ""],
  ]);

const rounded = (amount) => (amount === undefined ? "" : Math.round(amount));
