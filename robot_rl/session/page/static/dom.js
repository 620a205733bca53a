/** Small ways to make and change elements; a change that changes nothing touches nothing. */

/** @returns {HTMLElement} the element with this id */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element #${id}`);
  return found;
}

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, string|boolean|Function>} attributes `onclick` and the like are listeners
 * @param {...(Node|string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Make one of the icons of index.html. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  picture.append(use);
  return picture;
}

export function setText(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Whether keys pressed now belong to a field that is written in or a slider. */
export function isField(element) {
  return element instanceof HTMLElement && element.matches("input, textarea, select");
}

/** 7 -> "0:07", 75 -> "1:15", 3700 -> "1:01:40" */
export function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : String(part))).join(":");
}

/** 0.12 -> "0.1 s", 75 -> "1:15" */
export function ageText(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 60 ? `${seconds.toFixed(1)} s` : clockText(seconds);
}

/** 1536000000 -> "1.5 GB" */
export function bytesText(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (bytes >= 1000 && power < units.length - 1) {
    bytes /= 1000;
    power += 1;
  }
  return `${bytes.toFixed(power > 2 ? 1 : 0)} ${units[power]}`;
}

export function percentText(share) {
  return `${Math.round(100 * share)} %`;
}
