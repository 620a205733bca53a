/** Drawing on a canvas in CSS pixels, in the page's own colours. */

/**
 * Make a canvas as sharp as the screen, and empty.
 * @param {HTMLCanvasElement} canvas
 * @returns {?{pen: CanvasRenderingContext2D, width: number, height: number}} null if it is hidden
 */
export function prepare(canvas) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (width === 0 || height === 0) return null;
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  pen.font = '12px system-ui, "Liberation Sans", sans-serif';
  pen.lineJoin = "round";
  return { pen, width, height };
}

const styles = getComputedStyle(document.documentElement);

/** @returns {string} colour of style.css, as `--name` */
export function colour(name) {
  return styles.getPropertyValue(`--${name}`).trim();
}

/** Draw a line through points; null breaks it. @param {(?[number, number])[]} points */
export function line(pen, points, { stroke, width = 2, dash = [] }) {
  pen.beginPath();
  let down = false;
  for (const point of points) {
    if (point === null) down = false;
    else if (down) pen.lineTo(...point);
    else {
      pen.moveTo(...point);
      down = true;
    }
  }
  pen.strokeStyle = stroke;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.stroke();
  pen.setLineDash([]);
}

/** Fill between two lines of points, half seen through. */
export function band(pen, above, below, fill) {
  pen.beginPath();
  for (const point of above) pen.lineTo(...point);
  for (const point of below.toReversed()) pen.lineTo(...point);
  pen.closePath();
  pen.globalAlpha = 0.22;
  pen.fillStyle = fill;
  pen.fill();
  pen.globalAlpha = 1;
}

export function text(pen, words, x, y, { fill, align = "left" }) {
  pen.fillStyle = fill;
  pen.textAlign = align;
  pen.fillText(words, x, y);
}

/** Stripes within a box, so that a band is told apart without its colour. */
export function stripes(pen, x, y, width, height, { stroke, gap = 6, rising = true }) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.beginPath();
  for (let at = x - height; at < x + width + height; at += gap) {
    pen.moveTo(at, rising ? y + height : y);
    pen.lineTo(at + height, rising ? y : y + height);
  }
  pen.strokeStyle = stroke;
  pen.lineWidth = 2;
  pen.stroke();
  pen.restore();
}

export function norm(vector) {
  return Math.hypot(...vector);
}
