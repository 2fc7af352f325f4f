// The map: what the model thinks of each place, the names of places, streets if wanted, and the pin.
import { t } from "./texts.js";
import { districts, municipalities } from "./places.js";

const L = window.L; // a plain script of the page: the library ships no module that browsers need
const CLASSES = 8; // colours, --scale-0 to --scale-7 in the style sheet
const EXTREMES = [0.02, 0.995]; // quantiles of the cells at which the scale begins and ends
const STREETS = "https://tile.openstreetmap.org/{z}/{x}/{y}.png";
const STREETS_BY = '© <a href="https://www.openstreetmap.org/copyright" rel="noopener">OpenStreetMap</a>';
const SHOWN_FIRST = 11; // zoom: the city and the towns around it

/** A map in an element. `picked(latitude, longitude)` is called when a person puts the pin somewhere. */
export class PriceMap {
  constructor(element, start, picked) {
    this.map = L.map(element, { center: start, zoom: SHOWN_FIRST, minZoom: 8, maxZoom: 18, zoomControl: false });
    this.map.attributionControl.setPrefix(false);
    this.map.createPane("surface").style.zIndex = 250; // above the streets, below the pin
    this.map.createPane("names").style.zIndex = 350;
    this.zoom = L.control.zoom().addTo(this.map);
    this.pin = L.marker(start, {
      icon: L.divIcon({ className: "pin", html: pinDrawing(), iconSize: [30, 40], iconAnchor: [15, 38] }),
      draggable: true,
      keyboard: false, // the map itself takes Enter
      autoPan: true,
    }).addTo(this.map);
    this.names = L.layerGroup().addTo(this.map);
    this.streets = null;
    this.surface = null;
    this.map.on("click", ({ latlng }) => picked(latlng.lat, latlng.lng));
    this.map.on("zoomend", () => this.#nameplaces());
    this.pin.on("dragend", () => picked(this.pin.getLatLng().lat, this.pin.getLatLng().lng));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target !== element) return;
      event.preventDefault();
      picked(this.map.getCenter().lat, this.map.getCenter().lng);
    });
    this.#nameplaces();
  }

  /** Put the pin somewhere, and the place in sight. */
  show(latitude, longitude, zoom = this.map.getZoom()) {
    this.pin.setLatLng([latitude, longitude]);
    const inSight = this.map.getBounds().pad(-0.1).contains([latitude, longitude]);
    if (!inSight || zoom !== this.map.getZoom()) this.map.setView([latitude, longitude], zoom);
  }

  /** Draw the grids of `estimar/superficie.json`. Returns the limits between colours, euro per m². */
  draw(grids) {
    const cells = grids.flatMap((grid) => grid.euros_m2.filter((cell) => cell !== null)).sort((a, b) => a - b);
    if (cells.length === 0) return [];
    const [low, high] = EXTREMES.map((share) => cells[Math.floor(share * (cells.length - 1))]);
    const limits = Array.from({ length: CLASSES - 1 }, (_, i) => twoDigits(low * (high / low) ** ((i + 1) / CLASSES)));
    this.surface?.remove();
    this.surface = new Surface(grids, limits).addTo(this.map);
    return limits;
  }

  showSurface(on) {
    if (on) this.surface?.addTo(this.map);
    else this.surface?.remove();
  }

  /** The colours changed (light or dark). */
  recolour() {
    this.surface?.recolour();
  }

  /** Switch the streets. `failed()` is called when none of them arrives: they are off again then. */
  showStreets(on, failed) {
    this.streets?.remove();
    this.streets = null;
    if (on) {
      let arrived = false;
      // Their server asks for a referrer; it is told the page's origin and no more.
      this.streets = L.tileLayer(STREETS, { maxZoom: 19, attribution: STREETS_BY, referrerPolicy: "origin" });
      this.streets.on("tileload", () => (arrived = true));
      this.streets.on("tileerror", () => {
        if (arrived || !this.streets) return;
        this.showStreets(false);
        failed();
      });
      this.streets.addTo(this.map);
    }
    this.map.getContainer().classList.toggle("with-streets", on);
    this.#nameplaces();
  }

  /** Redo the texts that the library keeps. */
  translate() {
    const [more, less] = this.zoom.getContainer().children;
    for (const [button, label] of [[more, t("zoomIn")], [less, t("zoomOut")]]) {
      button.title = label;
      button.setAttribute("aria-label", label);
    }
  }

  #nameplaces() {
    this.names.clearLayers();
    if (this.streets) return; // the street map brings its own
    for (const { name, latitude, longitude, from } of [...municipalities, ...districts]) {
      if (this.map.getZoom() < from || (name === "Madrid" && this.map.getZoom() > 11)) continue;
      const text = document.createElement("span");
      text.textContent = name;
      const icon = L.divIcon({ className: "place-name", html: text, iconSize: [0, 0] });
      L.marker([latitude, longitude], { icon, pane: "names", interactive: false, keyboard: false }).addTo(this.names);
    }
  }
}

/** The cell of a place: euro per m², null outside the covered area. The finest grid that holds it decides. */
export function priceAt(grids, latitude, longitude) {
  for (const grid of [...grids].reverse()) {
    const row = Math.floor(((grid.norte - latitude) / (grid.norte - grid.sur)) * grid.filas);
    const column = Math.floor(((longitude - grid.oeste) / (grid.este - grid.oeste)) * grid.columnas);
    if (row >= 0 && row < grid.filas && column >= 0 && column < grid.columnas) {
      return grid.euros_m2[row * grid.columnas + column];
    }
  }
  return null;
}

/** A layer of canvas tiles, drawn from the grids: nothing is fetched. */
const Surface = L.GridLayer.extend({
  initialize(grids, limits) {
    L.GridLayer.prototype.initialize.call(this, { pane: "surface", className: "surface" });
    this.grids = grids;
    this.limits = limits;
    this.colours = scaleColours();
  },

  recolour() {
    this.colours = scaleColours();
    this.redraw();
  },

  createTile(coords) {
    const side = this.getTileSize().x;
    const sharp = Math.min(window.devicePixelRatio || 1, 2);
    const tile = document.createElement("canvas");
    tile.width = tile.height = side * sharp;
    const brush = tile.getContext("2d");
    brush.scale(sharp, sharp);
    const corner = coords.scaleBy(this.getTileSize());
    const across = (longitude) => this._map.project([0, longitude], coords.z).x - corner.x;
    const down = (latitude) => this._map.project([latitude, 0], coords.z).y - corner.y;
    for (const grid of this.grids) paint(brush, grid, { across, down, side, colourOf: (cell) => this.colourOf(cell) });
    return tile;
  },

  colourOf(cell) {
    const above = this.limits.findIndex((limit) => cell < limit);
    return this.colours[above === -1 ? this.limits.length : above];
  },
});

function paint(brush, grid, { across, down, side, colourOf }) {
  const rows = Array.from({ length: grid.filas + 1 }, (_, i) =>
    Math.round(down(grid.norte - (i * (grid.norte - grid.sur)) / grid.filas)),
  );
  const columns = Array.from({ length: grid.columnas + 1 }, (_, i) =>
    Math.round(across(grid.oeste + (i * (grid.este - grid.oeste)) / grid.columnas)),
  );
  // The finer grid takes the place of the coarser one, where it is empty too.
  brush.clearRect(columns[0], rows[0], columns.at(-1) - columns[0], rows.at(-1) - rows[0]);
  for (let row = 0; row < grid.filas; row += 1) {
    if (rows[row + 1] < 0 || rows[row] > side) continue;
    for (let column = 0; column < grid.columnas; column += 1) {
      const cell = grid.euros_m2[row * grid.columnas + column];
      if (cell === null || columns[column + 1] < 0 || columns[column] > side) continue;
      brush.fillStyle = colourOf(cell);
      brush.fillRect(
        columns[column],
        rows[row],
        columns[column + 1] - columns[column],
        rows[row + 1] - rows[row],
      );
    }
  }
}

function scaleColours() {
  const style = getComputedStyle(document.documentElement);
  return Array.from({ length: CLASSES }, (_, i) => style.getPropertyValue(`--scale-${i}`).trim());
}

function twoDigits(amount) {
  const unit = 10 ** (Math.floor(Math.log10(amount)) - 1);
  return Math.round(amount / unit) * unit;
}

function pinDrawing() {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(NAMESPACE, "svg");
  drawing.setAttribute("viewBox", "0 0 30 40");
  drawing.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(NAMESPACE, "path");
  shape.setAttribute("d", "M15 38C9 29 2 22 2 14a13 13 0 0 1 26 0c0 8-7 15-13 24Z");
  const hole = document.createElementNS(NAMESPACE, "circle");
  for (const [name, value] of Object.entries({ cx: 15, cy: 14, r: 5 })) hole.setAttribute(name, value);
  drawing.append(shape, hole);
  return drawing;
}
