// Both languages. Spanish texts that stand in the page itself are read from there; the rest is here.
const SPANISH = {
  title_page: "Precio Madrid · ¿Cuánto costaría?",
  placeAny: "Ir a un distrito o municipio…",
  districts: "Distritos de Madrid",
  towns: "Municipios",
  ubicacion: "Ubicación",
  precio: "Precio",
  yes: "Sí",
  no: "No",
  perMetre: "{euros}/m²",
  interval: "El {share} de las viviendas parecidas se anuncian entre {low} y {high}.",
  whyText: "Desde la vivienda de referencia ({size}: la mediana de los anuncios), lo que suma o resta cada cosa.",
  reference: "De referencia",
  thisHome: "Esta vivienda",
  noEffect: "Apenas cuenta: {fields}",
  savedHome: "La guardada",
  here: "En este punto, el modelo da unos {euros}/m² a la vivienda de referencia.",
  hereOutside: "Este punto queda fuera de la zona que cubren los anuncios.",
  legend: "Euros por m² de una misma vivienda ({size}) en cada sitio",
  size: "{surface} m², {rooms} dormitorios",
  noMap: "El mapa de precios no ha llegado; lo demás funciona.",
  streetsOff: "Las calles no llegan (¿sin conexión?): quedan apagadas.",
  streetsOffline: "No hay conexión: las calles siguen apagadas.",
  dearer: "La de ahora sale unos {difference} más cara que la guardada ({percent}).",
  cheaper: "La de ahora sale unos {difference} más barata que la guardada ({percent}).",
  same: "Las dos salen por lo mismo.",
  about: "Modelo {version}: aprendió de {rows} anuncios de {year}. En viviendas que no había visto, la mitad de sus precios se desvía menos de un {error}.",
  aboutShort: "Modelo {version}.",
  invalid: "Revisa los campos marcados.",
  unreachable: "No se puede llegar a la API. Puede que no haya conexión o que esté caída.",
  busy: "La API está recibiendo demasiadas peticiones. Prueba dentro de un momento.",
  needsKey: "Esta API pide una clave.",
  failed: "La API ha fallado ({status}). Prueba otra vez.",
  enterKey: "Poner la clave",
  missing: "Falta este dato.",
  number: "Escribe un número.",
  integer: "Escribe un número entero.",
  flag: "Escribe sí o no.",
  csvNotText: "Esto no es un CSV de texto.",
  csvTooBig: "El archivo pasa de {limit} MB. Para tanto está el proceso por lotes, en la documentación.",
  csvTooMany: "El archivo tiene más de {limit} filas. Para tantas está el proceso por lotes, en la documentación.",
  csvEmpty: "El archivo no tiene filas.",
  csvMissing: "Faltan columnas: {columns}.",
  csvTwice: "La columna «{column}» está dos veces.",
  csvUnused: "Estas columnas no se usan y vuelven tal cual: {columns}.",
  csvDoing: "{done} de {total} filas…",
  csvDone: "Listo: {good} con precio, {bad} con errores.",
  csvStopped: "Parado en la fila {done} de {total}. Lo hecho hasta aquí se puede descargar.",
  csvBreak: "{reason} Parado en la fila {done} de {total}; lo hecho hasta aquí se puede descargar.",
  csvMore: "Aquí se ven las primeras {shown} filas; la descarga las lleva todas.",
  zoomIn: "Acercar",
  zoomOut: "Alejar",
  notPriced: "Sin precio",
  tooManyCells: "Esta fila tiene más celdas que la cabecera.",
};

const ENGLISH = {
  title_page: "Precio Madrid · What would it cost?",
  skip: "Skip to the form",
  nav: "Options",
  api: "API",
  key: "Key",
  title: "What would this home cost?",
  lead: "Point at the place, describe the home, and see the price it would be advertised at in the Madrid region, the range it could fall in, and why.",
  where: "Where it is",
  place: "Go to a district or town",
  placeAny: "Go to a district or town…",
  districts: "Districts of Madrid",
  towns: "Towns",
  mapLabel:
    "Price map. Click the place of the home. With the keyboard: arrows move the map, + and − zoom, Enter puts the marker in the centre.",
  mapLoading: "Working out the map…",
  showSurface: "Prices the model sees",
  showStreets: "Streets (OpenStreetMap)",
  what: "What it is like",
  latitud: "Latitude",
  longitud: "Longitude",
  ubicacion: "Location",
  precio: "Price",
  surface: "Built area",
  habitaciones: "Bedrooms",
  baños: "Bathrooms",
  fewerRooms: "One bedroom fewer",
  moreRooms: "One bedroom more",
  fewerBaths: "One bathroom fewer",
  moreBaths: "One bathroom more",
  has: "It has",
  ascensor: "Lift",
  garaje: "Garage",
  jardin: "Garden",
  condicion: "Condition",
  unknown: "I don't know",
  "A reformar": "Needs renovating",
  "En buen estado": "In good condition",
  Reformado: "Renovated",
  "A estrenar": "Brand new",
  antiguedad: "Age",
  years: "years",
  superficie_util: "Usable area",
  optionalHint: "Age, usable area and condition may be left out: the model knows what that means.",
  howMuch: "How much",
  retry: "Try again",
  asking: "This is an asking price, the one in an advert: neither a valuation nor a sale price.",
  save: "Keep to compare",
  why: "Why this price",
  compare: "Compare two homes",
  compareEmpty: "Keep a home with “Keep to compare”, change whatever you like, and see here what sets them apart.",
  saved: "Kept",
  current: "Now",
  compareWhy: "Where the difference comes from",
  recover: "Back to the kept one",
  forget: "Forget it",
  many: "Many homes at once",
  manyLead:
    "Drop a CSV with one home to a row and download it with prices. The file isn't kept anywhere: its rows go to the API and come back.",
  choose: "Choose a CSV",
  orDrop: "or drop it here",
  template: "Download a template",
  format: "Which columns it has",
  formatText:
    "latitud, longitud, surface (built m²), baños (bathrooms), habitaciones (bedrooms), jardin (garden), antiguedad (age in years), superficie_util (usable m²), ascensor (lift), garaje (garage) and condicion (A reformar, Reformado, A estrenar or En buen estado). antiguedad, superficie_util and condicion may be missing or empty. Decimal point or comma, yes/no, true/false or 1/0 all work. Any other column comes back as it was.",
  progress: "Progress",
  cancel: "Cancel",
  download: "Download with prices",
  preview: "First rows",
  row: "Row",
  price: "Price",
  between: "Between",
  remarks: "Remarks",
  privacy: "This page talks to its own API alone and, if you switch the streets on, to tile.openstreetmap.org.",
  seeWhy: "see why",
  keyTitle: "This API asks for a key",
  keyText: "Whoever runs it gives it to you. It stays in this tab and is forgotten when you close it.",
  keyWrong: "The API doesn't accept that key.",
  keyField: "API key",
  useKey: "Use the key",
  notNow: "Not now",
  yes: "Yes",
  no: "No",
  perMetre: "{euros}/m²",
  interval: "{share} of homes like this one are advertised between {low} and {high}.",
  whyText: "Starting from the reference home ({size}: the median advert), what each thing adds or takes away.",
  reference: "Reference",
  thisHome: "This home",
  noEffect: "Hardly matters: {fields}",
  savedHome: "The kept one",
  here: "Here the model gives the reference home about {euros}/m².",
  hereOutside: "This point is outside the area that the adverts cover.",
  legend: "Euro per m² of one and the same home ({size}) in each place",
  size: "{surface} m², {rooms} bedrooms",
  noMap: "The price map didn't arrive; everything else works.",
  streetsOff: "The streets don't arrive (no connection?): they stay off.",
  streetsOffline: "There is no connection: the streets stay off.",
  dearer: "This one comes out about {difference} dearer than the kept one ({percent}).",
  cheaper: "This one comes out about {difference} cheaper than the kept one ({percent}).",
  same: "Both come out at the same price.",
  about:
    "Model {version}: it learnt from {rows} adverts of {year}. On homes it had not seen, half of its prices are off by less than {error}.",
  aboutShort: "Model {version}.",
  invalid: "Check the marked fields.",
  unreachable: "The API can't be reached. There may be no connection, or it may be down.",
  busy: "The API is getting too many requests. Try again in a moment.",
  needsKey: "This API asks for a key.",
  failed: "The API failed ({status}). Try again.",
  enterKey: "Enter the key",
  missing: "This is missing.",
  number: "Type a number.",
  integer: "Type a whole number.",
  flag: "Write yes or no.",
  above: "It must be more than {limit}.",
  least: "It must be {limit} or more.",
  most: "It must be {limit} or less.",
  choice: "It must be A reformar, Reformado, A estrenar or En buen estado.",
  wrong: "This value won't do.",
  outOfRange: "The homes the model knows range from {low} to {high}: the price is that of one at the limit.",
  outOfArea: "The model knows no homes around here: the price is deduced from others further off and may be quite wrong.",
  usableAbove: "The usable area is larger than the built area: one of the two can't be right, and the price depends on both.",
  oddRatio:
    "It comes to {ratio} {words}, when nearly all known homes have between {least} and {most}: check the figures; if they are right, the price isn't to be relied on.",
  ratio_habitaciones: "built m² per bedroom",
  ratio_baños: "built m² per bathroom",
  ratio_superficie_util: "usable m² per built m²",
  uncommon: "The model's trees disagree here more than for 99% of homes: it is an uncommon home, and the price is less certain.",
  csvNotText: "This is not a text CSV.",
  csvTooBig: "The file is over {limit} MB. For that much there is the batch process, in the documentation.",
  csvTooMany: "The file has more than {limit} rows. For that many there is the batch process, in the documentation.",
  csvEmpty: "The file has no rows.",
  csvMissing: "Missing columns: {columns}.",
  csvTwice: "The column “{column}” is there twice.",
  csvUnused: "These columns aren't used and come back as they were: {columns}.",
  csvDoing: "{done} of {total} rows…",
  csvDone: "Done: {good} priced, {bad} with errors.",
  csvStopped: "Stopped at row {done} of {total}. What was done so far can be downloaded.",
  csvBreak: "{reason} Stopped at row {done} of {total}; what was done so far can be downloaded.",
  csvMore: "These are the first {shown} rows; the download has them all.",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  notPriced: "Not priced",
  tooManyCells: "This row has more cells than the header.",
};

export const LANGUAGES = { es: SPANISH, en: ENGLISH };
const ATTRIBUTES = { "data-t": null, "data-t-label": "aria-label", "data-t-placeholder": "placeholder" };
const STORE = "idioma";
let language = "es";

/** The language of the moment, `es` or `en`. */
export const current = () => language;

const texts = () => LANGUAGES[language];

/** Whether there is a text with this key. */
export const has = (key) => Object.hasOwn(texts(), key);

/** A text by its key, with {names} filled in. */
export function t(key, values = {}) {
  return (has(key) ? texts()[key] : key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Read the Spanish texts off the page, then show the language asked for with ?idioma=en or chosen last. */
export function start() {
  forEachText((key, element, attribute) => {
    SPANISH[key] = (attribute ? element.getAttribute(attribute) : element.textContent).trim();
  });
  const asked = new URLSearchParams(location.search).get("idioma") ?? remembered();
  use(asked === "en" ? "en" : "es");
}

/** Show the page in a language. */
export function use(wanted) {
  language = wanted;
  try {
    localStorage.setItem(STORE, wanted);
  } catch {
    // A browser may refuse storage; then the choice lasts as long as the page.
  }
  document.documentElement.lang = wanted;
  document.title = t("title_page");
  forEachText((key, element, attribute) => {
    if (attribute) element.setAttribute(attribute, t(key));
    else element.textContent = t(key);
  });
}

function forEachText(visit) {
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of document.querySelectorAll(`[${name}]`)) visit(element.getAttribute(name), element, attribute);
  }
}

function remembered() {
  try {
    return localStorage.getItem(STORE);
  } catch {
    return null;
  }
}

const format = (options) =>
  new Intl.NumberFormat(language === "en" ? "en-GB" : "es-ES", { useGrouping: "always", ...options });

/** Euro, with as many digits as an estimate deserves. */
export const euros = (amount, digits = 3) =>
  format({ style: "currency", currency: "EUR", maximumSignificantDigits: digits }).format(amount);

/** Euro with a sign, for differences. */
export const signed = (amount) => `${amount < 0 ? "−" : "+"}${euros(Math.abs(amount), 2)}`;

/** A share such as 0.9 as a percentage. */
export const percent = (share, digits = 0) =>
  format({ style: "percent", maximumFractionDigits: digits }).format(share);

/** A plain number. */
export const number = (value) => format({ maximumFractionDigits: 5 }).format(value);
