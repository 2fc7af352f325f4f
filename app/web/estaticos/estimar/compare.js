// Two homes side by side: the one kept and the one in the form.
import { FIELDS, shown } from "./home.js";
import { element, showBars } from "./result.js";
import { euros, percent, t } from "./texts.js";

const $ = (id) => document.getElementById(id);

/** Show the comparison. `saved` and `now`: {home, answer}; either null hides it. `why`: an explanation or null. */
export function showComparison(saved, now, why) {
  $("compare-empty").hidden = Boolean(saved);
  $("compare-body").hidden = !(saved && now);
  if (!saved || !now) return;
  $("compare-summary").textContent = summary(saved.answer.precio, now.answer.precio);
  const interval = ({ intervalo }) => (intervalo ? `${euros(intervalo.inferior)} – ${euros(intervalo.superior)}` : "—");
  $("compare-rows").replaceChildren(
    line(t("price"), euros(saved.answer.precio), euros(now.answer.precio), "price-line"),
    line(t("between"), interval(saved.answer), interval(now.answer), "between-line"),
    ...FIELDS.map((field) => {
      const [a, b] = [saved.home[field] ?? null, now.home[field] ?? null];
      return line(t(field), shown(field, a), shown(field, b), a === b ? "" : "differs");
    }),
  );
  $("compare-why").hidden = $("compare-bars").hidden = !why;
  if (why) showBars($("compare-bars"), why, now.home, t("savedHome"), t("thisHome"));
}

function summary(before, after) {
  const difference = euros(Math.abs(after - before), 2);
  if (Math.round(after) === Math.round(before)) return t("same");
  const share = percent(Math.abs(after - before) / before, 1);
  return t(after > before ? "dearer" : "cheaper", { difference, percent: share });
}

function line(name, before, after, kind) {
  const made = element("tr", "", kind ? { class: kind } : {});
  made.append(element("th", name, { scope: "row" }), element("td", before), element("td", after));
  return made;
}
