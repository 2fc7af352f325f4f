// The page: a form, a map and an answer that follow each other.
import { ApiError, get, hasKey, post, useKey } from "./api.js";
import { start as startBatch } from "./batch.js";
import { showComparison } from "./compare.js";
import { FIELDS, FLAGS, INTEGERS, NUMBERS, complaint, size, value } from "./home.js";
import { PriceMap, priceAt } from "./map.js";
import { districts, municipalities } from "./places.js";
import { element, showPrice, showReasons } from "./result.js";
import * as texts from "./texts.js";

const { t } = texts;
const $ = (id) => document.getElementById(id);
const form = $("vivienda");
const EXAMPLE = {
  ...{ latitud: 40.4237, longitud: -3.6712, surface: 96, baños: 2, habitaciones: 3, jardin: false },
  ...{ antiguedad: 30, superficie_util: null, ascensor: true, garaje: false, condicion: "En buen estado" },
};
const PAUSE = 250; // ms after the last key before asking
const DECIMALS = 5; // of a coordinate: one metre

let ranges = {}; // of the model, from /modelo
let card = null; // what /modelo said
let grids = []; // of the price map
let mapped = null; // the home that the price map is of
let now = null; // {home, answer, reasons}: what the form says and what the API made of it
let saved = null; // {home, answer}
let comparison = null; // the explanation of the difference
let problems = []; // [{field, problem}]: what the API finds wrong with the form
let trouble = null; // the ApiError that stands in the way
let asking = null; // AbortController of the questions under way
let timer = 0;

// ---------------------------------------------------------------- the form

function read() {
  const given = FIELDS.map((field) => [
    field,
    FLAGS.includes(field) ? form.elements[field].checked : value(field, form.elements[field].value),
  ]);
  return Object.fromEntries(given.filter(([, each]) => each !== undefined));
}

function fill(home) {
  for (const field of FIELDS) {
    const control = form.elements[field];
    if (FLAGS.includes(field)) control.checked = home[field] === true;
    else control.value = home[field] ?? "";
  }
  follow();
}

function place(latitude, longitude, zoom) {
  form.elements.latitud.value = latitude.toFixed(DECIMALS);
  form.elements.longitud.value = longitude.toFixed(DECIMALS);
  map.show(latitude, longitude, zoom);
  changed();
}

/** What else on the page shows a field: the pin, the slider. */
function follow() {
  const { latitud, longitud, surface } = read();
  if (Math.abs(latitud) <= 90 && Math.abs(longitud) <= 180) map.show(latitud, longitud);
  if (typeof surface === "number") $("surface-range").value = surface;
}

function showProblems() {
  for (const field of FIELDS) {
    const control = form.elements[field];
    const found = problems.find((each) => each.field === field);
    const id = `error-${FIELDS.indexOf(field)}`;
    document.getElementById(id)?.remove();
    control.toggleAttribute("aria-invalid", Boolean(found));
    if (found) control.setAttribute("aria-invalid", "true");
    const hint = ["antiguedad", "superficie_util"].includes(field) ? "optional-hint" : "";
    const described = [hint, found ? id : ""].filter(Boolean).join(" ");
    if (described) control.setAttribute("aria-describedby", described);
    else control.removeAttribute("aria-describedby");
    if (found) control.closest(".field, .checks").append(element("p", complaint(field, found.problem), { id, class: "error" }));
  }
}

// ---------------------------------------------------------------- asking

/** What needs no asking: a field that is empty and may not be, or holds no number. Limits are the API's business. */
function faults(home) {
  return FIELDS.flatMap((field) => {
    if (!(field in home)) return [{ field, problem: { type: "missing" } }];
    const unread = NUMBERS.includes(field) && typeof home[field] === "string";
    return unread ? [{ field, problem: { type: INTEGERS.includes(field) ? "int_type" : "float_type" } }] : [];
  });
}

function changed() {
  clearTimeout(timer);
  $("resultado").classList.add("waiting");
  timer = setTimeout(ask, PAUSE);
}

async function ask() {
  asking?.abort();
  const mine = (asking = new AbortController());
  const home = read();
  const found = faults(home);
  if (found.length > 0) {
    settle({ problems: found }); // the API would say the same
    return;
  }
  try {
    const answer = await post("predecir", home, mine.signal);
    settle({ now: { home, answer, reasons: null } });
    await askWhy(home, mine.signal);
  } catch (error) {
    if (mine.signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    await refused(error);
  }
}

/** The reasons come after the price, and where they don't the price still stands. */
async function askWhy(home, signal) {
  try {
    if (saved) {
      const other = encodeURIComponent(JSON.stringify(saved.home));
      comparison = await post(`explicar?referencia=${other}`, home, signal);
    }
    now.reasons = await post("explicar", home, signal);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
  show();
}

function settle(outcome) {
  ({ now = null, problems = [], trouble = null } = outcome);
  comparison = null;
  show();
}

async function refused(error) {
  if (error.status === 422 && Array.isArray(error.detail)) {
    settle({ problems: error.detail.map((problem) => ({ field: problem.loc.at(-1), problem })) });
  } else {
    settle({ trouble: error });
    if (error.status === 403 && (await askForKey())) changed();
  }
}

function inWords({ status, detail }) {
  if (status === 0) return t("unreachable");
  if (status === 401 || status === 403) return t("needsKey");
  if (status === 429) return t("busy");
  const own = typeof detail === "string" && texts.current() === "es" ? detail : "";
  return own || t("failed", { status });
}

// ---------------------------------------------------------------- the key

let keyAsked = null;

/** Ask a person for the key; resolves to whether there is one to try. */
function askForKey() {
  if (keyAsked) return keyAsked;
  $("key-wrong").hidden = !hasKey();
  $("key").value = "";
  $("key-dialog").showModal();
  keyAsked = new Promise((resolve) => {
    $("key-dialog").addEventListener("close", () => {
      keyAsked = null;
      resolve($("key-dialog").returnValue === "use");
    }, { once: true });
  });
  return keyAsked;
}

function startKey() {
  $("key-dialog").returnValue = "";
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey($("key").value);
    $("key-dialog").close(hasKey() ? "use" : "");
  });
  $("key-cancel").addEventListener("click", () => $("key-dialog").close(""));
  $("key-dialog").addEventListener("cancel", () => ($("key-dialog").returnValue = ""));
  $("key-open").addEventListener("click", async () => {
    if (await askForKey()) changed();
  });
}

// ---------------------------------------------------------------- showing

function show() {
  $("resultado").classList.remove("waiting");
  showPrice(now?.answer ?? null, now?.home, ranges);
  showReasons(now?.reasons ?? null, now?.home);
  showComparison(saved, now, comparison);
  showProblems();
  $("save").disabled = !now;
  const needsKey = trouble?.status === 403;
  $("trouble").hidden = !trouble && problems.length === 0;
  $("trouble-text").textContent = trouble ? inWords(trouble) : problems.length > 0 ? t("invalid") : "";
  $("retry").hidden = !trouble;
  $("retry").textContent = t(needsKey ? "enterKey" : "retry");
  $("key-open").hidden = !(needsKey || hasKey());
  showHere();
  showAbout();
}

function showHere() {
  const { latitud, longitud } = read();
  const known = grids.length > 0 && typeof latitud === "number" && typeof longitud === "number";
  const price = known ? priceAt(grids, latitud, longitud) : null;
  $("here").textContent = !known ? "" : price === null ? t("hereOutside") : t("here", { euros: texts.euros(price) });
}

function showAbout() {
  if (!card) return;
  const { datos = {}, entrenamiento = {}, version } = card;
  const error = entrenamiento.todas?.medape;
  const known = typeof error === "number" && datos.filas && datos["año"];
  $("about").textContent = known
    ? t("about", { version, rows: texts.number(datos.filas), year: datos["año"], error: texts.percent(error) })
    : t("aboutShort", { version });
}

function showLegend(limits) {
  $("legend").hidden = limits.length === 0;
  $("legend-title").textContent = mapped ? t("legend", { size: size(mapped) }) : "";
  const steps = [null, ...limits].map((limit, i) => {
    const step = element("li", limit === null ? "" : texts.number(limit));
    step.className = `step-${i}`;
    return step;
  });
  $("legend-scale").replaceChildren(...steps);
}

let limits = [];
function translate() {
  $("language").textContent = texts.current() === "en" ? "Español" : "English";
  $("language").lang = texts.current() === "en" ? "es" : "en";
  for (const group of $("place").querySelectorAll("optgroup")) group.label = t(group.dataset.key);
  map.translate();
  showLegend(limits);
  show();
}

// ---------------------------------------------------------------- start

texts.start();
const map = new PriceMap($("map"), [EXAMPLE.latitud, EXAMPLE.longitud], place);

function startPlaces() {
  for (const [key, places] of [["districts", districts], ["towns", municipalities]]) {
    const group = element("optgroup", "", { label: t(key), "data-key": key });
    group.append(...places.map(({ name, latitude, longitude }) => element("option", name, { value: `${latitude},${longitude}` })));
    $("place").append(group);
  }
  $("place").addEventListener("change", () => {
    if (!$("place").value) return;
    const zoom = $("place").selectedOptions[0].parentElement.dataset.key === "districts" ? 13 : 12;
    place(...$("place").value.split(",").map(Number), zoom);
  });
}

function startForm() {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (target === $("surface-range")) form.elements.surface.value = target.value;
    follow();
    changed();
  });
  for (const button of form.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      const control = form.elements[button.dataset.for];
      control.value = Math.max(0, (Number.parseInt(control.value, 10) || 0) + Number(button.dataset.step));
      changed();
    });
  }
  $("retry").addEventListener("click", async () => {
    if (trouble?.status !== 403 || (await askForKey())) changed();
    if (grids.length === 0) loadMap();
    if (!card) loadCard();
  });
}

function startComparing() {
  $("save").addEventListener("click", () => {
    saved = { home: now.home, answer: now.answer };
    comparison = null;
    changed();
    show();
    $("comparar").scrollIntoView({ block: "nearest" });
  });
  $("recover").addEventListener("click", () => {
    fill(saved.home);
    changed();
  });
  $("forget").addEventListener("click", () => {
    saved = null;
    show();
    $("save").focus();
  });
}

function startMap() {
  $("show-surface").addEventListener("change", ({ target }) => map.showSurface(target.checked));
  $("show-streets").addEventListener("change", ({ target }) => {
    const say = (key) => ($("streets-state").textContent = key ? t(key) : "");
    say("");
    if (target.checked && !navigator.onLine) {
      target.checked = false;
      say("streetsOffline");
      return;
    }
    map.showStreets(target.checked, () => {
      target.checked = false;
      say("streetsOff");
    });
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.recolour());
}

async function loadMap() {
  try {
    const content = await get("estimar/superficie.json");
    ({ rejillas: grids, vivienda: mapped } = content);
    limits = map.draw(grids);
    $("map-state").hidden = true;
    showLegend(limits);
    showHere();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    $("map-state").hidden = false;
    $("map-state").textContent = t("noMap");
  }
}

async function loadCard() {
  try {
    card = await get("modelo");
    ranges = card.rangos ?? {};
    showAbout();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the page does without
  }
}

startPlaces();
startForm();
startKey();
startComparing();
startMap();
startBatch(async (error) => (error.status === 403 && (await askForKey()) ? "again" : inWords(error)));
$("language").addEventListener("click", () => {
  texts.use(texts.current() === "en" ? "es" : "en");
  translate();
});
new IntersectionObserver(([entry]) => $("price-bar").classList.toggle("away", entry.isIntersecting), {
  threshold: 0,
}).observe($("price"));
fill(EXAMPLE);
translate();
await ask(); // the price first: on a cold start the rest would only start more of the same
await Promise.all([loadMap(), loadCard()]);
