/** The stop: by whatever way there is, again and again until the session says that it is done. */

/** A stop that is not answered by then goes another way as well. */
const ANSWER_MS = 250;
const AGAIN_MS = 500;
const UNHEARD = "The stop may not have been heard: use the emergency stop at the arm.";

export class Stop {
  #connection;
  #notices;
  /** @type {Set<number>} commands that no answer has come to */
  #asked = new Set();
  #pressed = false;
  /** @type {?HTMLElement} */
  #warning = null;

  constructor(connection, notices) {
    this.#connection = connection;
    this.#notices = notices;
    connection.addEventListener("answer", (event) => {
      if (this.#asked.has(event.detail.number) && event.detail.done) this.#done();
    });
  }

  press() {
    const number = this.#connection.command("stop");
    if (number > 0) this.#asked.add(number);
    // Whoever presses it again is already insisted for.
    if (this.#pressed) return;
    this.#pressed = true;
    this.#insist(number > 0 && this.#connection.status.live ? ANSWER_MS : 0);
  }

  async #insist(pause_ms) {
    await pause(pause_ms);
    while (this.#pressed) {
      const status = await this.#connection.stopByPost();
      if (!this.#pressed) return;
      if (status === 200) return this.#done();
      this.#warn();
      // Another token: it is another session's, and each further try would count against it.
      if (status === 401 || status === 403) {
        this.#pressed = false;
        return;
      }
      await pause(AGAIN_MS);
    }
  }

  #warn() {
    if (!this.#warning?.isConnected) this.#warning = this.#notices.show("bad", UNHEARD);
  }

  #done() {
    this.#pressed = false;
    this.#asked.clear();
    if (this.#warning === null) return;
    this.#warning.remove();
    this.#warning = null;
    this.#notices.show("good", "The stop was heard.");
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
