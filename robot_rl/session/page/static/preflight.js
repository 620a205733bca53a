/** What is checked before the start, how it stands, and what to do about it. */

import { byId, icon, make, setHidden } from "./dom.js";

const STATES = { waiting: "waiting", good: "good", bad: "not good", ask: "asks you" };

export class Preflight {
  #controls;
  #shown = "";

  constructor(controls) {
    this.#controls = controls;
  }

  update(view, live) {
    const wanted = ["preflight", "ready"].includes(view.mode) && view.checks.length > 0;
    setHidden(byId("preflight"), !wanted);
    if (!wanted) return;
    const shown = JSON.stringify([view.checks, view.legal.includes("confirm"), live]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.getAttribute("data-check");
    const items = view.checks.map((check) => this.#item(check, view, live));
    byId("checks").replaceChildren(...items);
    const left = view.checks.filter((check) => check.state !== "good").length;
    const all = `All ${view.checks.length} checks are good`;
    byId("checks-left").textContent = left === 0 ? all : `${left} of ${view.checks.length} to go`;
    if (focused) byId("checks").querySelector(`[data-check="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(check, view, live) {
    const words = make("div", {}, make("b", {}, check.name), make("span", {}, check.words));
    if (check.remedy && check.state !== "good") {
      words.append(make("em", {}, check.remedy));
    }
    const state = make("span", { class: "state" }, icon(`check-${check.state}`), STATES[check.state]);
    const item = make("li", { "data-state": check.state }, state, words);
    if (check.state === "ask" && view.legal.includes("confirm")) {
      const button = make("button", { type: "button" }, `Confirm`);
      button.dataset.verb = "confirm";
      button.dataset.check = check.name;
      button.setAttribute("aria-label", `Confirm: ${check.name}`);
      button.disabled = !live;
      button.addEventListener("click", () => {
        this.#controls.ask(["confirm"], { name: check.name });
      });
      item.append(button);
    }
    return item;
  }
}
