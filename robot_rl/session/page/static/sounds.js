/** Tones and a voice, so that nobody needs to look up from the arm. Made here, nothing is loaded. */

import { icon, setAttribute } from "./dom.js";

/** Per sound: notes as (frequency [Hz], start [s], length [s]), and the wave's shape. */
const TONES = {
  take_over: ["triangle", [523, 0, 0.1], [784, 0.1, 0.16]],
  give_back: ["triangle", [784, 0, 0.1], [523, 0.1, 0.16]],
  saved: ["sine", [523, 0, 0.09], [659, 0.09, 0.09], [1047, 0.18, 0.22]],
  hold: ["sine", [330, 0, 0.12], [330, 0.2, 0.12]],
  stop: ["square", [196, 0, 0.35], [147, 0.4, 0.6]],
  error: ["sawtooth", [233, 0, 0.14], [220, 0.18, 0.24]],
};
const VOLUME = 0.12;

export class Sounds {
  #context = null;
  #button;
  #muted = localStorage.getItem("muted") === "yes";

  /** @param {HTMLButtonElement} button mutes; a browser is silent until something was pressed */
  constructor(button) {
    this.#button = button;
    button.append(icon("muted"));
    const wake = () => this.#wake();
    document.addEventListener("pointerdown", wake);
    document.addEventListener("keydown", wake);
    button.addEventListener("click", () => {
      this.#muted = !this.#muted;
      localStorage.setItem("muted", this.#muted ? "yes" : "no");
      if (this.#muted) window.speechSynthesis?.cancel();
      this.#show();
    });
    this.#show();
  }

  /** @param {import("./messages.js").Notice} notice */
  play(notice) {
    if (this.#muted) return;
    if (notice.sound in TONES && this.#context?.state === "running") this.#tone(notice.sound);
    if (notice.say && "speechSynthesis" in window) {
      window.speechSynthesis.speak(new SpeechSynthesisUtterance(notice.say));
    }
  }

  #tone(name) {
    const [shape, ...notes] = TONES[name];
    for (const [frequency_hz, start_s, length_s] of notes) {
      const at = this.#context.currentTime + start_s;
      const tone = this.#context.createOscillator();
      const volume = this.#context.createGain();
      tone.type = shape;
      tone.frequency.value = frequency_hz;
      // Eased in and out: a cut wave clicks.
      volume.gain.setValueAtTime(0, at);
      volume.gain.linearRampToValueAtTime(VOLUME, at + 0.015);
      volume.gain.setValueAtTime(VOLUME, at + length_s - 0.03);
      volume.gain.linearRampToValueAtTime(0, at + length_s);
      tone.connect(volume).connect(this.#context.destination);
      tone.start(at);
      tone.stop(at + length_s);
    }
  }

  #wake() {
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") this.#context.resume().then(() => this.#show());
    this.#show();
  }

  #show() {
    const asleep = !this.#muted && this.#context?.state !== "running";
    const words = this.#muted ? "Sound is off" : asleep ? "Sound: press any key" : "Sound is on";
    // Changed, not replaced: a press that begins on an icon must end on the same one.
    const name = this.#muted || asleep ? "muted" : "sound";
    setAttribute(this.#button.querySelector("use"), "href", `#icon-${name}`);
    setAttribute(this.#button, "aria-label", words);
    setAttribute(this.#button, "title", words);
    setAttribute(this.#button, "aria-pressed", String(this.#muted));
  }
}
