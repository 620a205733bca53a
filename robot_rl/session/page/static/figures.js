/** Charts beside the cameras: the newest action by element, and the rates over the episodes. */

import { band, colour, line, prepare, text } from "./chart.js";
import { percentText } from "./dom.js";

const LABEL_PX = 62;

/** Three bars per element, from the middle: base, proposed, executed. */
export function drawActions(canvas, action) {
  const place = prepare(canvas);
  if (place === null || action === null) return;
  const { pen, width, height } = place;
  const middle = LABEL_PX + (width - LABEL_PX) / 2;
  const reach = (width - LABEL_PX) / 2 - 4;
  const row = height / action.names.length;
  const thick = Math.max(2, Math.min(6, (row - 4) / 3));
  const kinds = [
    [action.base, colour("soft")],
    [action.proposed, colour("improved")],
    [action.executed, colour("human")],
  ];
  action.names.forEach((name, i) => {
    const top = i * row + (row - 3 * thick) / 2;
    text(pen, name, 0, i * row + row / 2 + 4, { fill: colour("ink") });
    kinds.forEach(([values, fill], k) => {
      const length = reach * Math.max(-1, Math.min(1, values[i] ?? 0));
      pen.fillStyle = fill;
      const x = Math.min(middle, middle + length);
      pen.fillRect(x, top + k * thick, Math.max(1, Math.abs(length)), thick - 1);
    });
  });
  line(pen, [[middle, 0], [middle, height]], { stroke: colour("rule"), width: 1 });
  for (const x of [middle - reach, middle + reach]) {
    line(pen, [[x, 0], [x, height]], { stroke: colour("rule"), width: 1, dash: [2, 3] });
  }
}

const RATES = [
  ["autonomous", "alone", "good", []],
  ["assisted", "with help", "human", [7, 4]],
  ["intervention", "by hand", "improved", [2, 3]],
];

/** Success alone, success with help and share of steps by hand; the bands are 95 % intervals. */
export function drawRates(canvas, rates) {
  const place = prepare(canvas);
  if (place === null) return;
  const { pen, width, height } = place;
  const [left, right, top, bottom] = [42, width - 96, 8, height - 18];
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * (bottom - top);
    line(pen, [[left, y], [right, y]], { stroke: colour("rule"), width: 1 });
    text(pen, percentText(share), left - 4, y + 4, { fill: colour("soft"), align: "right" });
  }
  if (rates.length === 0) {
    return text(pen, "after the first episode", left + 6, bottom - 8, { fill: colour("soft") });
  }
  const first = rates[0].episode;
  const last = Math.max(first + 1, rates.at(-1).episode);
  const at = (point, share) => [
    left + ((point.episode - first) / (last - first)) * (right - left),
    bottom - share * (bottom - top),
  ];
  text(pen, `episode ${first}`, left, height - 4, { fill: colour("soft") });
  text(pen, String(rates.at(-1).episode), right, height - 4, { fill: colour("soft"), align: "right" });
  const ends = [];
  for (const [key, words, name, dash] of RATES) {
    const stroke = colour(name);
    const low = rates.map((point) => at(point, point[key][1]));
    const high = rates.map((point) => at(point, point[key][2]));
    band(pen, high, low, stroke);
    line(pen, rates.map((point) => at(point, point[key][0])), { stroke, dash });
    const share = rates.at(-1)[key][0];
    ends.push([at(rates.at(-1), share)[1], `${words} ${percentText(share)}`, stroke]);
  }
  ends.sort((a, b) => a[0] - b[0]);
  let free = top + 4;
  for (const [y, words, fill] of ends) {
    const where = Math.min(Math.max(y + 4, free), bottom + 4);
    text(pen, words, right + 5, where, { fill });
    free = where + 14;
  }
  return undefined;
}
