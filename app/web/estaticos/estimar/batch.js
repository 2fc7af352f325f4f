// The CSV part of the page: takes a file, sends its rows in lots, shows how far it is, offers the result.
import { ApiError, post } from "./api.js";
import { complaint } from "./home.js";
import { element } from "./result.js";
import { MOST_MEGABYTES, TableError, parse, template, text, write } from "./table.js";
import { euros, t } from "./texts.js";

const LOT = 200; // homes in a request: a bar that moves, and few requests
const SHOWN = 50; // rows
const $ = (id) => document.getElementById(id);

/** Wire the part up. `reason(error)` puts an ApiError into words; it may ask for a key and resolve to "again". */
export function start(reason) {
  let stop = null;
  const take = async (file) => {
    stop?.abort();
    const mine = (stop = new AbortController());
    await price(file, mine.signal, reason).catch((error) => {
      if (!mine.signal.aborted) throw error;
    });
  };
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) take(file);
    $("file").value = ""; // so that the same file, mended, can be chosen again
  });
  $("cancel").addEventListener("click", () => stop?.abort());
  const drop = $("drop");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  drop.addEventListener("drop", ({ dataTransfer }) => {
    if (dataTransfer.files.length > 0) take(dataTransfer.files[0]);
  });
  // A file that misses the box must not replace the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
  $("template").addEventListener("click", () => save(template(), "plantilla.csv"));
}

async function price(file, signal, reason) {
  $("batch").hidden = false;
  $("batch-name").replaceChildren(element("bdi", file.name));
  for (const id of ["download", "preview", "cancel", "progress"]) $(id).hidden = true;
  let table;
  try {
    if (file.size > MOST_MEGABYTES * 2 ** 20) throw new TableError(t("csvTooBig", { limit: MOST_MEGABYTES }));
    table = parse(text(await file.arrayBuffer()));
  } catch (error) {
    if (!(error instanceof TableError) && !(error instanceof DOMException)) throw error;
    $("batch-state").textContent = error instanceof TableError ? error.message : t("csvNotText");
    return;
  }
  $("cancel").hidden = $("progress").hidden = false;
  const total = table.homes.length;
  const outcomes = [];
  let ending = () => t("csvDone", count(outcomes));
  while (outcomes.length < total) {
    $("progress").value = outcomes.length / total;
    $("batch-state").textContent = t("csvDoing", { done: outcomes.length, total });
    try {
      outcomes.push(...(await lot(table.homes.slice(outcomes.length, outcomes.length + LOT), signal)));
    } catch (error) {
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
      const said = signal.aborted ? null : await reason(error);
      if (said === "again") continue;
      const place = { reason: said, done: outcomes.length, total };
      ending = () => t(said === null ? "csvStopped" : "csvBreak", place);
      break;
    }
  }
  $("progress").value = outcomes.length / total;
  $("cancel").hidden = true;
  const unused = table.unused.filter(Boolean).slice(0, 8).map((name) => name.slice(0, 40));
  $("batch-state").textContent = [ending(), unused.length ? t("csvUnused", { columns: unused.join(", ") }) : "",
    outcomes.length > SHOWN ? t("csvMore", { shown: SHOWN }) : ""].filter(Boolean).join(" ");
  if (outcomes.length === 0) return;
  preview(outcomes);
  URL.revokeObjectURL($("download").href);
  $("download").href = URL.createObjectURL(blob(write(table, outcomes)));
  $("download").hidden = false;
}

/** Price some homes: {answer} or {error} for each, in turn. Homes that the API refuses don't hold up the others. */
async function lot(homes, signal) {
  const outcomes = homes.map((home) => (home ? null : { error: t("tooManyCells") }));
  for (;;) {
    const open = homes.flatMap((_, i) => (outcomes[i] ? [] : [i]));
    if (open.length === 0) return outcomes;
    try {
      const { predicciones } = await post("predecir/lote", { viviendas: open.map((i) => homes[i]) }, signal);
      predicciones.forEach((answer, i) => (outcomes[open[i]] = { answer }));
      return outcomes;
    } catch (error) {
      const named = error.status === 422 && Array.isArray(error.detail) ? error.detail : [];
      for (const problem of named) {
        const [, , index, field = ""] = problem.loc;
        const before = outcomes[open[index]]?.error;
        const said = `${field}: ${complaint(field, problem)}`;
        if (index in open) outcomes[open[index]] = { error: before ? `${before} ${said}` : said };
      }
      // Where it named no home, asking again would go on for ever.
      if (open.every((i) => !outcomes[i])) throw error;
    }
  }
}

const count = (outcomes) => {
  const good = outcomes.filter(({ answer }) => answer).length;
  return { good, bad: outcomes.length - good };
};

function preview(outcomes) {
  const rows = outcomes.slice(0, SHOWN).map(({ answer, error }, i) => {
    const row = element("tr", "", error ? { class: "bad" } : {});
    const interval = answer?.intervalo;
    row.append(
      element("th", String(i + 2), { scope: "row" }), // as a spreadsheet counts: the header is row 1
      element("td", answer ? euros(answer.precio) : t("notPriced")),
      element("td", interval ? `${euros(interval.inferior)} – ${euros(interval.superior)}` : ""),
      error
        ? element("td", error)
        : element("td", answer.avisos.map(({ campo, mensaje }) => `${t(campo)}: ${mensaje}`).join(" "), { lang: "es" }),
    );
    return row;
  });
  $("preview-rows").replaceChildren(...rows);
  $("preview").hidden = false;
}

const blob = (content) => new Blob([content], { type: "text/csv;charset=utf-8" });

function save(content, name) {
  const link = element("a", "", { href: URL.createObjectURL(blob(content)), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
