// Shows an answer: the price, its interval, its warnings, and the reasons as a picture.
import { euros, percent, signed, t } from "./texts.js";
import { shown, size, warning } from "./home.js";

const LEAST = 500; // euro: a smaller part is none, for the eye
const $ = (id) => document.getElementById(id);

/** A new element with text in it: texts are never read as markup. */
export function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Show a price with all that belongs to it; null empties the place. */
export function showPrice(answer, home, ranges) {
  const price = answer ? euros(answer.precio) : "—";
  $("price").textContent = price;
  $("bar-price").textContent = price;
  $("per-metre").textContent = answer ? t("perMetre", { euros: euros(answer.precio / home.surface) }) : "";
  showInterval(answer);
  const notes = (answer?.avisos ?? []).map((caution) => {
    const { text, lang } = warning(caution, home, ranges);
    const item = element("li");
    item.append(element("strong", t(caution.campo)), ": ", element("span", text, { lang }));
    return item;
  });
  $("warnings").replaceChildren(...notes);
}

function showInterval(answer) {
  const interval = answer?.intervalo;
  $("interval").hidden = !interval;
  if (!interval) return;
  const { inferior, superior, confianza } = interval;
  const [low, high] = [euros(inferior), euros(superior)];
  const span = superior - inferior || 1;
  const place = (amount) => `${Math.min(100, Math.max(0, 8 + (84 * (amount - inferior)) / span))}%`;
  $("band").style.insetInlineStart = place(inferior);
  $("band").style.insetInlineEnd = `${100 - parseFloat(place(superior))}%`;
  $("mark").style.insetInlineStart = place(answer.precio);
  $("low").textContent = low;
  $("high").textContent = high;
  $("interval-text").textContent = t("interval", { share: percent(confianza), low, high });
}

/** Show why a home costs what it does; null hides it. */
export function showReasons(explanation, home) {
  $("reasons").hidden = !explanation;
  if (!explanation) return;
  $("why-text").textContent = t("whyText", { size: size(explanation.referencia.vivienda) });
  showBars($("bars"), explanation, home, t("reference"), t("thisHome"));
}

/** A waterfall: from the reference's price, one bar for each reason, largest first, to this home's price. */
export function showBars(list, { precio, referencia, contribuciones }, home, from, to) {
  const sorted = Object.entries(contribuciones).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const parts = sorted.filter(([, part]) => Math.abs(part) >= LEAST);
  const still = sorted.filter(([, part]) => Math.abs(part) < LEAST).map(([player]) => t(player).toLowerCase());
  const totals = parts.reduce((sums, [, part]) => [...sums, sums.at(-1) + part], [referencia.precio]);
  const low = Math.min(...totals, precio);
  const high = Math.max(...totals, precio);
  const scale = (amount) => 1 + (98 * (amount - low)) / (high - low || 1); // percent of the width
  const rows = parts.map(([player, part], i) => {
    const label = element("span", t(player), { class: "label" });
    const values = difference(player, home, referencia.vivienda);
    if (values) label.append(" ", element("small", values));
    const ends = [scale(totals[i]), scale(totals[i + 1])];
    return row(label, signed(part), part > 0 ? "more" : "less", Math.min(...ends), Math.max(...ends));
  });
  const total = (name, price) =>
    row(element("span", name, { class: "label" }), euros(price), "total", scale(price) - 0.5, scale(price) + 0.5);
  const rest = still.length > 0 ? [element("li", t("noEffect", { fields: still.join(", ") }), { class: "same" })] : [];
  list.replaceChildren(total(from, referencia.precio), ...rows, ...rest, total(to, precio));
}

function row(label, sum, kind, start, stop) {
  const item = element("li", "", { class: kind });
  const track = element("span", "", { class: "bar", "aria-hidden": "true" });
  const bar = element("i");
  bar.style.insetInlineStart = `${start}%`;
  bar.style.inlineSize = `${Math.max(stop - start, 0.6)}%`;
  track.append(bar);
  item.append(label, element("span", sum, { class: "sum" }), track);
  return item;
}

function difference(player, home, reference) {
  if (player === "ubicacion" || !(player in home) || home[player] === reference[player]) return "";
  return `${shown(player, reference[player])} → ${shown(player, home[player])}`;
}
