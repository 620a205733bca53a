/** The last ten seconds of what the wrist and the fingers feel. */

import { colour, line, norm, prepare, text } from "./chart.js";
import { byId, setHidden, setText } from "./dom.js";

const SPAN_MS = 10000;
/** A gap that is longer is no line. */
const GAP_MS = 600;

class Strip {
  /** @type {[number, number][]} time [ms] and value */
  #samples = [];

  add(value) {
    const now = performance.now();
    this.#samples.push([now, value]);
    while (this.#samples[0][0] < now - SPAN_MS) this.#samples.shift();
  }

  get highest() {
    return Math.max(0, ...this.#samples.map(([, value]) => value));
  }

  draw({ pen, width, height }, top, look) {
    const now = performance.now();
    const points = [];
    let before = null;
    for (const [then, value] of this.#samples) {
      if (before !== null && then - before > GAP_MS) points.push(null);
      points.push([width * (1 - (now - then) / SPAN_MS), height - 2 - ((height - 16) * value) / top]);
      before = then;
    }
    line(pen, points, look);
  }
}

export class Strips {
  #force = new Strip();
  /** @type {Map<string, Strip>} */
  #tactile = new Map();
  /** 0 without a limit */
  #limit_n = 0;

  update(view) {
    const force = view.force;
    setHidden(byId("force"), force === null);
    if (force === null) return;
    const force_n = norm(force.force_n);
    const torque_n_m = norm(force.torque_n_m);
    this.#limit_n = force.limit_n;
    this.#force.add(force_n);
    setText(byId("force-now"), `${force_n.toFixed(1)} N${ofLimit(force.limit_n, 0, "N")}`);
    const torque = `${torque_n_m.toFixed(2)} N m${ofLimit(force.limit_n_m, 1, "N m")}`;
    setText(byId("torque-now"), torque);
    for (const [name, values] of Object.entries(force.tactile)) {
      if (!this.#tactile.has(name)) this.#tactile.set(name, new Strip());
      this.#tactile.get(name).add(norm(values));
    }
    setHidden(byId("tactile"), this.#tactile.size === 0);
  }

  draw() {
    const place = prepare(byId("force-strip"));
    if (place !== null) this.#drawForce(place);
    const touch = prepare(byId("tactile-strip"));
    if (touch !== null) this.#drawTactile(touch);
  }

  #drawForce(place) {
    const { pen, width, height } = place;
    const top = 1.15 * Math.max(1, this.#limit_n, this.#force.highest);
    if (this.#limit_n > 0) {
      const y = height - 2 - ((height - 16) * this.#limit_n) / top;
      line(pen, [[0, y], [width, y]], { stroke: colour("limit"), width: 2, dash: [8, 5] });
      const words = `the gate holds at ${this.#limit_n.toFixed(0)} N`;
      text(pen, words, 4, y - 5, { fill: colour("limit") });
    }
    this.#force.draw(place, top, { stroke: colour("ink"), width: 2.5 });
  }

  #drawTactile(place) {
    const names = [...this.#tactile.keys()];
    const top = 1.1 * Math.max(1e-6, ...names.map((name) => this.#tactile.get(name).highest));
    let x = 4;
    names.forEach((name, i) => {
      const look = { stroke: colour(i % 2 ? "improved" : "human"), dash: i % 2 ? [6, 4] : [] };
      this.#tactile.get(name).draw(place, top, look);
      const words = `${i % 2 ? "- -" : "—"} ${name}`;
      text(place.pen, words, x, 12, { fill: look.stroke });
      x += place.pen.measureText(words).width + 12;
    });
  }
}

function ofLimit(limit, digits, unit) {
  return limit > 0 ? ` of ${limit.toFixed(digits)} ${unit}` : "";
}
