/** The widest thing on the page: who drives, why, and for how long. */

import { clockText, setAttribute, setText } from "./dom.js";

/** In words, per mode: the largest, and what it means if the session gives no reason. */
const WORDS = {
  preflight: ["Checking", "Nothing moves until everything below is good."],
  ready: ["Ready", "Nothing moves until you start."],
  resetting: ["Resetting", "The arm moves to a start by itself."],
  auto: ["Policy drives", "Touch an arrow key or a pad to take over."],
  human: ["You drive", "Let go and the arm rests."],
  hold: ["Hold", "Nobody drives: the arm rests until it is given back."],
  stop: ["Stopped", "The arm stays where it is until somebody clears the stop."],
  review: ["Review", "The episode has ended. How did it go?"],
  paused: ["Paused", "No next episode begins until you resume."],
  learning: ["Learning", "The base policy learns from the demonstrations; nothing moves."],
  lost: ["No contact", ""],
};

export class Banner {
  #root;
  #parts;
  #shown = "";

  /** @param {HTMLElement} root  @param {HTMLElement} told region that a screen reader reads out */
  constructor(root, told) {
    this.#root = root;
    const part = (name) => root.querySelector(`.${name}`);
    this.#parts = {
      icon: root.querySelector("use"),
      word: part("word"),
      why: part("why"),
      age: part("age"),
      holder: part("holder"),
      told,
    };
  }

  /**
   * @param {?import("./messages.js").View} view
   * @param {import("./messages.js").Status} status
   * @param {string} client this page's own name
   */
  update(view, status, client) {
    const mode = status.live && view !== null ? view.mode : "lost";
    const [word, why] = mode === "lost" ? lostWords(view, status) : modeWords(view, client);
    setAttribute(this.#root, "data-mode", mode);
    setAttribute(document.body, "data-mode", view?.mode ?? "lost");
    setAttribute(document.body, "data-live", String(mode !== "lost"));
    setAttribute(this.#parts.icon, "href", `#icon-${mode}`);
    setText(this.#parts.word, word);
    setText(this.#parts.why, why);
    const age_s = mode === "lost" ? status.silent_s : view.mode_s + status.silent_s;
    setText(this.#parts.age, clockText(age_s));
    setText(this.#parts.holder, mode === "lost" ? "" : holderWords(view.holder, client));
    setAttribute(this.#parts.holder, "data-mine", String(view?.holder === client));
    this.#tell(mode, word, mode === "lost" ? "" : why);
  }

  #tell(mode, word, why) {
    if (mode === this.#shown) return;
    this.#shown = mode;
    this.#parts.told.textContent = `${word}. ${why}`;
    document.title = `${word} · robot_rl`;
  }
}

function modeWords(view, client) {
  const [word, meaning] = WORDS[view.mode];
  if (view.mode !== "human") return [word, view.why || meaning];
  return view.holder === client ? [word, meaning] : [`${view.driver} drives`, view.why];
}

function lostWords(view, status) {
  if (view === null && status.open) return ["Connecting", "The session has not shown anything yet."];
  const silence = `nothing heard from the session for ${status.silent_s.toFixed(0)} s`;
  return [WORDS.lost[0], `${silence}; the controls here do nothing. ${status.words}`.trim()];
}

function holderWords(holder, client) {
  if (holder === "") return "nobody holds the arm";
  return holder === client ? "this tab holds the arm" : `${holder} holds the arm`;
}
