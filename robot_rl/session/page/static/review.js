/** The recorded episodes: look at one again, judge it anew, trim it, discard it, undo. */

import { byId, icon, make, setAttribute, setHidden, setText } from "./dom.js";
import { Player } from "./player.js";
import { drawTimeline } from "./timeline.js";

const MODES = ["review", "ready", "paused", "learning"];
const VERBS = ["relabel", "trim", "delete"];

export class Review {
  #connection;
  #controls;
  #player;
  #rows = [];
  /** Chosen by the person; empty follows the newest episode. */
  #chosen = "";
  #loaded = "";
  /** @type {string[]} */
  #cameras = [];
  /** @type {?import("./timeline.js").Columns} */
  #columns = null;

  constructor(connection, controls) {
    this.#connection = connection;
    this.#controls = controls;
    this.#player = new Player(byId("pictures"), connection, () => this.#showPlayer());
    byId("play").addEventListener("click", () => this.#player.toggle());
    byId("newer").addEventListener("click", () => this.#step(-1));
    byId("older").addEventListener("click", () => this.#step(1));
    byId("scrubber").addEventListener("input", () => {
      const step = byId("scrubber").valueAsNumber;
      this.#player.pause();
      this.#player.seek(step);
    });
    for (const id of ["trim-begin", "trim-end"]) {
      byId(id).addEventListener("input", () => this.#trimmed(id));
    }
    for (const slider of byId("review").querySelectorAll("input[type=range]")) {
      slider.addEventListener("pointerup", () => slider.blur());
    }
    for (const button of byId("judge").querySelectorAll("button")) {
      const outcome = button.dataset.outcome;
      button.addEventListener("click", () => this.#ask("relabel", { outcome }));
    }
    byId("trim").addEventListener("click", () => {
      this.#ask("trim", { begin: this.#begin, end: this.#end });
    });
    byId("delete").addEventListener("click", () => this.#ask("delete", {}));
    byId("note-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask("note", { text: byId("note-text").value.trim() });
      byId("note-text").blur();
    });
  }

  /** @param {import("./messages.js").View} view  @param {boolean} live */
  update(view, live) {
    const shown = MODES.includes(view.mode) && view.rows.length > 0;
    setHidden(byId("review"), !shown);
    if (!shown) {
      this.#chosen = "";
      if (this.#player.playing) this.#player.pause();
      return;
    }
    this.#cameras = view.cameras.map((camera) => camera.name);
    this.#list(view.rows);
    const row = this.#row;
    if (row.episode_id !== this.#loaded) this.#load(row);
    for (const verb of VERBS) {
      const legal = view.legal.includes(verb);
      for (const button of byId("review").querySelectorAll(`[data-verb="${verb}"]`)) {
        setHidden(button, !legal);
        const whole = verb === "trim" && this.#begin === 0 && this.#end === this.#columns?.steps;
        button.disabled = !live || row.discarded || (verb === "trim" && (whole || !this.#columns));
      }
    }
    setHidden(byId("note-form"), !view.legal.includes("note"));
    for (const button of byId("judge").querySelectorAll("button")) {
      setAttribute(button, "aria-pressed", String(button.dataset.outcome === row.outcome));
    }
  }

  draw() {
    if (this.#columns === null || byId("review").hidden) return;
    const marks = { at: this.#player.at, begin: this.#begin, end: this.#end };
    drawTimeline(byId("timeline"), this.#columns, marks);
  }

  get #row() {
    const chosen = this.#rows.find((row) => row.episode_id === this.#chosen);
    return chosen ?? this.#rows.find((row) => !row.discarded) ?? this.#rows[0];
  }

  get #begin() {
    return byId("trim-begin").valueAsNumber;
  }

  get #end() {
    return byId("trim-end").valueAsNumber;
  }

  #ask(verb, words) {
    this.#controls.ask([verb], { episode_id: this.#row.episode_id, ...words });
    // A trim makes a new episode, the newest; what was discarded is not looked at any longer.
    if (verb === "trim" || verb === "delete") this.#chosen = "";
  }

  #step(by) {
    const at = this.#rows.indexOf(this.#row) + by;
    this.#choose(this.#rows[Math.min(this.#rows.length - 1, Math.max(0, at))].episode_id);
  }

  #choose(episode_id) {
    this.#chosen = episode_id;
    this.#list(this.#rows);
    this.#load(this.#row);
  }

  #list(rows) {
    const chosen = this.#row?.episode_id;
    const same = JSON.stringify(rows) === JSON.stringify(this.#rows);
    this.#rows = rows;
    if (same && chosen === this.#row.episode_id && byId("rows").dataset.chosen === chosen) return;
    const focused = document.activeElement?.getAttribute("data-episode");
    byId("rows").dataset.chosen = this.#row.episode_id;
    byId("rows").replaceChildren(...rows.map((row) => this.#item(row)));
    if (focused) byId("rows").querySelector(`[data-episode="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(row) {
    const state = row.discarded ? "discarded" : row.outcome;
    const facts = `${row.seconds.toFixed(1)} s${row.assisted ? " · with help" : ""}`;
    const words = make("span", {}, make("b", {}, row.episode_id), make("small", {}, facts));
    if (row.note) words.append(make("small", { class: "note" }, `“${row.note}”`));
    const current = String(row.episode_id === this.#row.episode_id);
    const button = make("button", { type: "button", "data-episode": row.episode_id });
    button.setAttribute("aria-current", current);
    button.dataset.state = state;
    button.append(icon(state), words, make("small", { class: "state" }, state));
    button.addEventListener("click", () => this.#choose(row.episode_id));
    return make("li", {}, button);
  }

  async #load(row) {
    this.#loaded = row.episode_id;
    this.#columns = null;
    this.#player.load(null, []);
    setText(byId("reviewed"), row.episode_id);
    byId("note-text").value = row.note;
    try {
      const path = `/api/episode/${encodeURIComponent(row.episode_id)}`;
      const columns = await (await this.#connection.get(path)).json();
      if (this.#loaded !== row.episode_id) return;
      this.#columns = columns;
    } catch {
      setText(byId("review-at"), "This episode could not be read.");
      return;
    }
    for (const [id, value] of [["trim-begin", 0], ["trim-end", this.#columns.steps]]) {
      byId(id).max = String(this.#columns.steps);
      byId(id).value = String(value);
    }
    byId("scrubber").max = String(Math.max(0, this.#columns.steps - 1));
    this.#player.load(this.#columns, this.#cameras);
  }

  #trimmed(id) {
    if (this.#begin >= this.#end) {
      if (id === "trim-begin") byId("trim-begin").value = String(this.#end - 1);
      else byId("trim-end").value = String(this.#begin + 1);
    }
    this.#player.seek(id === "trim-begin" ? this.#begin : this.#end - 1);
  }

  #showPlayer() {
    const playing = this.#player?.playing ?? false;
    setAttribute(byId("play"), "aria-label", playing ? "Stop playing" : "Play");
    setAttribute(byId("play").querySelector("use"), "href", playing ? "#icon-pause" : "#icon-play");
    if (this.#columns === null) return;
    const { steps, t_s } = this.#columns;
    byId("scrubber").value = String(this.#player.at);
    const time = `${t_s[this.#player.at].toFixed(1)} s`;
    setText(byId("review-at"), `step ${this.#player.at + 1} of ${steps} · ${time}`);
    setText(byId("trim-words"), `Keep ${this.#begin} to ${this.#end}`);
  }
}
