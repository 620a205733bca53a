/** The one line to the session: it says hello, hears views and pictures, and mends itself. */

import { readPicture } from "./messages.js";

const PROTOCOL = 2;
const STALE_S = 1;
/** A socket that says nothing for so long is taken for dead, whatever the network says. */
const DEAD_S = 4;
/** A request that is not answered by then is given up: without a network it would hang for minutes. */
const POST_MS = 1000;
const PAUSES_MS = [250, 500, 1000, 2000];
/** By the reason that the socket is closed with: to try again would not help. */
const REFUSED = {
  "wrong token": "The key in this address is not the session's: open the address that it printed.",
  "another address or page": "The session does not serve this address: open the one it printed.",
};

/**
 * Dispatches `view`, `answer`, `picture`, `cameras`, `welcome` and `trouble` as CustomEvents whose
 * `detail` is the message; `lost` once there is no line.
 */
export class Connection extends EventTarget {
  #socket = null;
  #number = 0;
  /** Number of the newest view: the session obeys nobody who saw an old one, but for a stop. */
  #view = 0;
  #tries = 0;
  #heard = performance.now();
  #opened = performance.now();
  #refused = "";
  #reason = "";
  #retry = 0;

  constructor() {
    super();
    this.client = "";
    this.token = rememberedToken();
    window.addEventListener("hashchange", () => {
      this.token = rememberedToken();
      this.#refused = "";
      this.#socket?.close();
      this.open();
    });
    setInterval(() => this.#endIfDead(), 500);
  }

  open() {
    clearTimeout(this.#retry);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#opened = performance.now();
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "hello", token: this.token, protocol: PROTOCOL }));
    };
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lost(event.reason);
    };
  }

  /** @returns {import("./messages.js").Status} */
  get status() {
    const open = this.#socket?.readyState === WebSocket.OPEN && this.client !== "";
    const silent_s = (performance.now() - this.#heard) / 1000;
    const again = `Trying to reach it again, attempt ${this.#tries + 1}. ${this.#reason}`;
    const words = this.#refused || (open ? "" : again);
    return { open, live: open && silent_s <= STALE_S, silent_s, words };
  }

  /** Ask for something. @returns {number} of the command, 0 if it could not be sent */
  command(verb, words = {}) {
    this.#number += 1;
    const asked = { number: this.#number, view: this.#view, verb, arguments: words };
    return this.#send({ type: "command", ...asked }) ? this.#number : 0;
  }

  /** Say what the keys want now; 20 times a second, also when they want nothing. */
  motion(active, action) {
    this.#number += 1;
    const wanted = { number: this.#number, view: this.#view, active, action };
    return this.#send({ type: "motion", ...wanted });
  }

  hidden() {
    this.#send({ type: "hidden" });
  }

  painted(camera, number) {
    this.#send({ type: "painted", camera, number });
  }

  /** Read something over HTTP. @returns {Promise<Response>} */
  async get(path) {
    const headers = { Authorization: `Bearer ${this.token}` };
    const response = await fetch(path, { headers, cache: "no-store" });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response;
  }

  /**
   * The way for a stop when the socket says nothing.
   * @returns {Promise<number>} HTTP status, 200 if it is done; 0 without an answer in time
   */
  async stopByPost() {
    const headers = {
      Authorization: `Bearer ${this.token}`,
      "Content-Type": "application/json",
    };
    const body = JSON.stringify({ verb: "stop", arguments: {} });
    const signal = AbortSignal.timeout(POST_MS);
    try {
      return (await fetch("/command", { method: "POST", headers, body, signal })).status;
    } catch {
      return 0;
    }
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN || this.client === "") return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #hear(data) {
    if (data instanceof ArrayBuffer) return this.#tell("picture", readPicture(data));
    const message = JSON.parse(data);
    if (message.type === "welcome") {
      this.client = message.client;
      this.#tries = 0;
      this.#reason = "";
    }
    if (message.type === "view") {
      this.#heard = performance.now();
      this.#view = message.number;
    }
    return this.#tell(message.type === "error" ? "trouble" : message.type, message);
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  #lost(reason) {
    this.client = "";
    this.#view = 0;
    this.#reason = reason;
    this.#refused = REFUSED[reason] ?? "";
    this.#tell("lost", { reason });
    if (this.#refused) return;
    const pause_ms = PAUSES_MS[Math.min(this.#tries, PAUSES_MS.length - 1)];
    this.#tries += 1;
    this.#retry = setTimeout(() => this.open(), pause_ms);
  }

  #endIfDead() {
    const silent_ms = performance.now() - Math.max(this.#heard, this.#opened);
    const socket = this.#socket;
    if (silent_ms < DEAD_S * 1000 || socket === null || socket.readyState > WebSocket.OPEN) return;
    // A socket without a network takes a minute to close: forget it at once.
    socket.onclose = socket.onmessage = null;
    socket.close();
    this.#lost("");
  }
}

/** The token comes in the address' fragment, and is kept for this tab where nobody reads it. */
function rememberedToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token") ?? "";
}
