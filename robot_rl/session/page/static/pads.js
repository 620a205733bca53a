/** Two round pads and a gripper button for fingers: what is touched moves, what is let go rests. */

import { setAttribute, setText } from "./dom.js";

const DEAD_ZONE = 0.15;

/**
 * One round pad.
 * @param {HTMLElement} pad with a `.knob` inside
 * @param {string} up axis that grows upwards
 * @param {string} left axis that grows to the left
 */
function listenToPad(pad, motion, up, left) {
  const knob = pad.querySelector(".knob");
  const name = `pad ${pad.id}`;
  let finger = null;

  function move(event) {
    const box = pad.getBoundingClientRect();
    const radius = box.width / 2;
    let right = (event.clientX - box.left) / radius - 1;
    let down = (event.clientY - box.top) / radius - 1;
    const length = Math.max(1, Math.hypot(right, down));
    right /= length;
    down /= length;
    knob.style.transform = `translate(${right * 0.55 * radius}px, ${down * 0.55 * radius}px)`;
    motion.press(name, { [up]: -beyondDeadZone(down), [left]: -beyondDeadZone(right) });
  }

  function end(event) {
    if (event.pointerId !== finger) return;
    finger = null;
    knob.style.transform = "";
    pad.classList.remove("held");
    motion.lift(name);
  }

  pad.addEventListener("pointerdown", (event) => {
    if (finger !== null || event.button !== 0) return;
    event.preventDefault();
    finger = event.pointerId;
    pad.setPointerCapture(finger);
    pad.classList.add("held");
    move(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId === finger) move(event);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pad.addEventListener(kind, end);
  }
}

function beyondDeadZone(value) {
  const size = Math.max(0, Math.abs(value) - DEAD_ZONE) / (1 - DEAD_ZONE);
  return Math.sign(value) * size || 0;
}

export class Pads {
  #root;
  #motion;
  #gripper;

  constructor(root, motion) {
    this.#root = root;
    this.#motion = motion;
    this.#gripper = root.querySelector("#gripper");
    listenToPad(root.querySelector("#pad-plane"), motion, "x", "y");
    listenToPad(root.querySelector("#pad-height"), motion, "z", "yaw");
    this.#gripper.addEventListener("click", () => motion.toggleGripper());
    root.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  update(view, live) {
    const usable = live && view.action !== null && view.legal.includes("take_over");
    this.#root.classList.toggle("off", !usable);
    const open = this.#motion.gripperOpen;
    setAttribute(this.#gripper, "data-there", String(open !== null));
    this.#gripper.disabled = !usable || open === null;
    if (open !== null) {
      setText(this.#gripper.querySelector("b"), open ? "open" : "closed");
      setAttribute(this.#gripper, "aria-pressed", String(!open));
    }
  }
}
