/** The keyboard: which key asks for what. Repeats are ignored; a field that is written in is left alone. */

import { isField } from "./dom.js";

/** @type {Object<string, Object<string, number>>} held keys that move the arm */
export const MOVES = {
  ArrowUp: { x: 1 },
  ArrowDown: { x: -1 },
  ArrowLeft: { y: 1 },
  ArrowRight: { y: -1 },
  PageUp: { z: 1 },
  PageDown: { z: -1 },
  "[": { yaw: 1 },
  "]": { yaw: -1 },
};

/** @type {Object<string, string[]>} keys that ask: the first verb that is legal */
export const ASKS = {
  " ": ["take_over"],
  Enter: ["give_back"],
  s: ["success"],
  f: ["failure"],
  x: ["re_record"],
  // While the arm rests only Enter lets it go on: a pause must never start anything.
  p: ["pause", "resume"],
  u: ["undo"],
  n: ["next"],
};

const NAMES = { " ": "␣", Enter: "⏎" };

/** @returns {string} how a key is written on the page; empty if no key asks for the verb */
export function keyOf(verb) {
  if (verb === "stop") return "Esc";
  const found = Object.entries(ASKS).find(([, verbs]) => verbs.includes(verb));
  return found === undefined ? "" : (NAMES[found[0]] ?? found[0].toUpperCase());
}

/**
 * @param {import("./motion.js").Motion} motion
 * @param {{ask: (verbs: string[]) => void, stop: () => void, help: () => void}} controls
 */
export function listenToKeys(motion, controls) {
  /** What was pressed, by place: with Shift in between, the letter that is released differs. */
  const pressed = new Map();

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.repeat) return controls.stop();
    const combined = event.ctrlKey || event.metaKey || event.altKey;
    if (isField(event.target) || (combined && !event.getModifierState("AltGraph"))) return;
    if (event.key === "?") return controls.help();
    if (document.querySelector("dialog[open]") !== null) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // A button that was walked to by Tab is pressed by these two, as everywhere.
    if ((key === " " || key === "Enter") && event.target.closest("button, summary, a")) return;
    if (!(key in MOVES) && !(key in ASKS) && key !== "g") return;
    event.preventDefault();
    if (event.repeat) return;
    if (key in MOVES) {
      pressed.set(event.code, key);
      motion.press(`key ${key}`, MOVES[key]);
    } else if (key === "g") motion.toggleGripper();
    else controls.ask(ASKS[key]);
  });

  document.addEventListener("keyup", (event) => {
    const key = pressed.get(event.code);
    if (key === undefined) return;
    pressed.delete(event.code);
    motion.lift(`key ${key}`);
  });

  // Whoever writes now must not be driving with a key that is never seen to rise.
  document.addEventListener("focusin", (event) => {
    if (isField(event.target)) motion.release();
  });
}

/** Let go of everything as soon as this page is not what the person looks at. */
export function releaseWhenLeft(motion, connection) {
  window.addEventListener("blur", () => motion.release());
  document.addEventListener("visibilitychange", () => {
    motion.release();
    if (document.visibilityState === "hidden") connection.hidden();
  });
  window.addEventListener("pagehide", () => {
    motion.release();
    connection.hidden();
  });
}
