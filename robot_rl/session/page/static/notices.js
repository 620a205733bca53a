/** Short messages at the foot of the page, each for a while; what can be undone says so. */

import { icon, make } from "./dom.js";

const SHOWN_MS = { good: 5000, info: 5000, bad: 10000 };
/** As long as a person is reminded that the newest change can be taken back. */
export const UNDO_MS = 10000;
const MOST = 4;
/** What the banner says as loudly is heard, not written once more. */
const IN_BANNER = ["take_over", "give_back", "hold", "stop"];
const ICONS = { good: "good", info: "info", bad: "bad" };

export class Notices {
  #list;
  #heard = null;
  #run = "";
  #sounds;
  #undo;

  /** @param {HTMLElement} list  @param {() => void} undo what the button in a message does */
  constructor(list, sounds, undo) {
    this.#list = list;
    this.#sounds = sounds;
    this.#undo = undo;
  }

  /** Show and play what is new; what was told before this page opened is old. */
  update(view) {
    const newest = view.notices.at(-1)?.number ?? 0;
    if (this.#heard === null || this.#run !== view.run || newest < this.#heard) {
      this.#heard = newest;
      this.#run = view.run;
    }
    for (const notice of view.notices) {
      if (notice.number <= this.#heard) continue;
      this.#heard = notice.number;
      this.#sounds.play(notice);
      if (IN_BANNER.includes(notice.sound)) continue;
      this.show(notice.level, notice.words, notice.sound === "saved");
    }
    const legal = view.legal.includes("undo");
    for (const button of this.#list.querySelectorAll("button")) button.hidden = !legal;
  }

  /**
   * @param {"good"|"info"|"bad"} level
   * @param {boolean} undoable for the next ten seconds
   * @returns {HTMLElement} what is shown, until it is over
   */
  show(level, words, undoable = false) {
    const text = make("span", {}, words);
    const toast = make("li", { class: `toast ${level}` }, icon(ICONS[level]), text);
    if (undoable) {
      const button = make("button", { type: "button", class: "small", "data-verb": "undo" });
      button.append("Undo", make("kbd", {}, "U"));
      button.hidden = true;
      button.addEventListener("click", () => {
        this.#undo();
        toast.remove();
      });
      toast.append(button);
      // Only the newest change is the one that an undo takes back.
      for (const older of this.#list.querySelectorAll("button")) older.remove();
    }
    this.#list.append(toast);
    while (this.#list.children.length > MOST) this.#list.firstChild.remove();
    setTimeout(() => toast.remove(), undoable ? UNDO_MS : SHOWN_MS[level]);
    return toast;
  }
}
