/** The buttons: exactly what the session says is legal now, always in this order. */

import { byId, icon, make, setHidden, setText } from "./dom.js";
import { keyOf } from "./keys.js";
import { Stop } from "./stop.js";

/** Verbs with a button beside the cameras; the others are where what they are about is shown. */
const BUTTONS = {
  start: "Start",
  success: "Success",
  failure: "Failure",
  take_over: "Take over",
  give_back: "Give back",
  re_record: "Again",
  next: "Next",
  pause: "Pause",
  resume: "Resume",
  clear: "Clear the stop",
  check: "Check again",
  undo: "Undo",
  note: "Note",
  end: "End session",
};
const WIDE = ["start", "clear", "next"];
/** Their answers are worth a message; the first of them can be undone. */
const UNDOABLE = ["relabel", "trim", "delete", "re_record"];
const SAID = [...UNDOABLE, "undo", "note", "end", "check"];

export class Controls {
  #connection;
  #motion;
  #notices;
  #stop;
  #view = null;
  #buttons = new Map();
  /** @type {Map<number, string>} verbs by the number of the command, until they are answered */
  #waiting = new Map();

  constructor(connection, motion, notices) {
    this.#connection = connection;
    this.#motion = motion;
    this.#notices = notices;
    this.#stop = new Stop(connection, notices);
    connection.addEventListener("answer", (event) => this.#answered(event.detail));
    connection.addEventListener("lost", () => this.#forget());
    connection.addEventListener("trouble", (event) => notices.show("bad", event.detail.words));
    for (const [verb, words] of Object.entries(BUTTONS)) this.#add(verb, words);
    // At the first touch: a finger that slips off has still stopped the arm.
    byId("stop").addEventListener("pointerdown", () => this.stop());
    byId("stop").addEventListener("click", (event) => event.detail === 0 && this.stop());
    this.#listenToDialogs();
    // A button that a pointer pressed must not be pressed again by Space or Enter.
    document.addEventListener("click", (event) => {
      if (event.detail > 0) event.target.closest("button")?.blur();
    });
  }

  /** @param {?import("./messages.js").View} view  @param {boolean} live */
  update(view, live) {
    this.#view = live ? view : null;
    const legal = new Set(view?.legal ?? []);
    for (const [verb, button] of this.#buttons) {
      setHidden(button, !legal.has(verb));
      button.disabled = !live;
    }
    for (const button of document.querySelectorAll("dialog .primary")) button.disabled = !live;
    if (view?.mode === "stop") setText(byId("cause"), view.why);
    if (!legal.has("clear")) byId("clear-dialog").close();
    if (!legal.has("end")) byId("end-dialog").close();
    if (!legal.has("note")) byId("note-dialog").close();
  }

  may(verb) {
    return this.#view?.legal.includes(verb) ?? false;
  }

  /** Ask for the first of these that is legal; without the session, nothing happens. */
  ask(verbs, words = {}) {
    if (this.#view === null) return;
    const verb = verbs.find((one) => this.may(one));
    if (verb === undefined) {
      const name = BUTTONS[verbs[0]] ?? verbs[0];
      return this.#notices.show("info", `${name}: not possible now`);
    }
    const number = this.#connection.command(verb, words);
    if (number > 0) this.#waiting.set(number, verb);
  }

  stop() {
    this.#motion.release();
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    this.#stop.press();
  }

  help() {
    const dialog = byId("help-dialog");
    this.#motion.release();
    if (dialog.open) dialog.close();
    else dialog.show();
  }

  #add(verb, words) {
    const key = keyOf(verb);
    const button = make("button", { type: "button", "data-verb": verb, class: "verb" });
    if (WIDE.includes(verb)) button.classList.add("wide");
    button.append(icon(verb), make("span", {}, words));
    if (key !== "") button.append(make("kbd", {}, key));
    button.addEventListener("click", () => this.#press(verb));
    byId("verbs").append(button);
    this.#buttons.set(verb, button);
  }

  #press(verb) {
    const dialog = { clear: "clear-dialog", end: "end-dialog", note: "note-dialog" }[verb];
    if (dialog === undefined) return this.ask([verb]);
    this.#motion.release();
    return byId(dialog).show();
  }

  #listenToDialogs() {
    onSubmit("clear-dialog", (form) => {
      const by = form.elements.by.value.trim();
      this.ask(["clear"], { by, cause: byId("cause").textContent });
    });
    onSubmit("end-dialog", () => this.ask(["end"]));
    onSubmit("help-dialog", () => {});
    onSubmit("note-dialog", (form) => {
      this.ask(["note"], { text: form.elements.text.value.trim() });
      form.reset();
    });
    byId("help").addEventListener("click", () => this.help());
  }

  /** What was asked for over a line that is lost is not answered any more. */
  #forget() {
    const names = [...this.#waiting.values()].map((verb) => BUTTONS[verb] ?? verb);
    this.#waiting.clear();
    if (names.length === 0) return;
    const words = `No answer came to: ${names.join(", ")}. Look whether it was done.`;
    this.#notices.show("bad", words);
  }

  #answered(answer) {
    const verb = this.#waiting.get(answer.number);
    if (verb === undefined) return;
    this.#waiting.delete(answer.number);
    if (!answer.done) this.#notices.show("bad", `Refused: ${answer.words || verb}`);
    else if (SAID.includes(verb) && answer.words) {
      this.#notices.show("good", answer.words, UNDOABLE.includes(verb));
    }
  }
}

/** What is done when the form of a dialog is sent; its other buttons only close it. */
function onSubmit(id, act) {
  const dialog = byId(id);
  const form = dialog.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    act(form);
  });
  form.querySelector("[data-closes]")?.addEventListener("click", () => dialog.close());
}
