/** One recorded episode from left to right: who drove, what was felt, what was rewarded. */

import { colour, line, prepare, stripes, text } from "./chart.js";

const LANE_PX = 14;

/**
 * @typedef {object} Columns of `/api/episode/{id}`
 * @property {string} episode_id
 * @property {number} steps
 * @property {number[]} t_s one more than steps
 * @property {(?number)[]} reward
 * @property {(?number)[]} force_n at the end of each step
 * @property {{kind: "human"|"hold", begin: number, end: number}[]} bands
 */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Columns} columns
 * @param {{at: number, begin: number, end: number}} marks steps
 */
export function drawTimeline(canvas, columns, marks) {
  const place = prepare(canvas);
  if (place === null) return;
  const { pen, width, height } = place;
  const x = (step) => (width * step) / Math.max(1, columns.steps);
  pen.fillStyle = colour("track");
  pen.fillRect(0, 0, width, 2 * LANE_PX + 2);
  for (const { kind, begin, end } of columns.bands) {
    const lane = kind === "human" ? 0 : LANE_PX + 2;
    const wide = Math.max(2, x(end) - x(begin));
    drawBand(pen, x(begin), lane, wide, kind);
  }
  text(pen, "by hand", 4, 11, { fill: colour("ink") });
  text(pen, "held", 4, LANE_PX + 13, { fill: colour("ink") });

  const floor = height - 3;
  const roof = 2 * LANE_PX + 10;
  drawCurve(pen, columns.force_n, x, floor, roof, { stroke: colour("soft"), width: 1.5 });
  drawCurve(pen, columns.reward, x, floor, roof, { stroke: colour("good"), width: 2, dash: [6, 3] });

  pen.fillStyle = colour("veil");
  pen.fillRect(0, 0, x(marks.begin), height);
  pen.fillRect(x(marks.end), 0, width - x(marks.end), height);
  for (const edge of [marks.begin, marks.end]) {
    const at = Math.min(width - 1.5, Math.max(1.5, x(edge)));
    line(pen, [[at, 0], [at, height]], { stroke: colour("improved"), width: 3 });
  }
  const now = x(marks.at + 0.5);
  line(pen, [[now, 0], [now, height]], { stroke: colour("ink"), width: 2 });
}

function drawBand(pen, left, top, wide, kind) {
  pen.globalAlpha = 0.4;
  pen.fillStyle = colour(kind);
  pen.fillRect(left, top, wide, LANE_PX);
  pen.globalAlpha = 1;
  stripes(pen, left, top, wide, LANE_PX, { stroke: colour(kind), rising: kind === "human" });
}

function drawCurve(pen, values, x, floor, roof, look) {
  const highest = Math.max(1e-6, ...values.map(Math.abs));
  const points = values.map((value, i) =>
    value === null
      ? null
      : [x(i + 0.5), floor - (Math.abs(value) / highest) * (floor - roof)],
  );
  line(pen, points, look);
}
