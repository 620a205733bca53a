/**
 * What keys and pads want now, told 20 times a second: the dead-man is that this goes on.
 *
 * The timer is the page's own, not a worker's: were the page stuck, a worker would go on saying
 * that a key is held.
 */

const PERIOD_MS = 50;
/** A short tap on the gripper's key must still be seen by a slow control loop. */
const GRIPPER_MS = 400;
const ELEMENTS = {
  x: ["dx", "x"],
  y: ["dy", "y"],
  z: ["dz", "z"],
  yaw: ["rz", "yaw"],
  gripper: ["gripper"],
};

/** @typedef {"x"|"y"|"z"|"yaw"} Axis */

export class Motion {
  #connection;
  /** @type {Map<string, Object<Axis, number>>} wishes by key or pad */
  #wishes = new Map();
  /** @type {?import("./messages.js").ActionView} */
  #action = null;
  #speed = 0;
  #legal = false;
  #allowed = false;
  #gripper = null;
  #gripper_until = 0;

  constructor(connection) {
    this.#connection = connection;
    setInterval(() => this.#say(), PERIOD_MS);
  }

  /** @returns {boolean} */
  get active() {
    return this.#allowed && (this.#wishes.size > 0 || performance.now() < this.#gripper_until);
  }

  /** @returns {Set<string>} keys and pads that are held */
  get held() {
    return new Set(this.#wishes.keys());
  }

  /** @returns {?boolean} null without a gripper */
  get gripperOpen() {
    const wanted = this.#gripper ?? this.#executedGripper;
    return wanted === null ? null : wanted > 0;
  }

  /** What is held when moving ends being possible is released: it must be pressed anew. */
  update(view, live) {
    this.#action = view?.action ?? null;
    this.#speed = view?.key_speed ?? 0;
    this.#legal = live && (view?.legal.includes("take_over") ?? false);
    if (!this.#legal) this.release();
    // Who else drives may move the gripper: the next person goes on from where it is.
    const mine = view?.mode === "human" || view?.mode === "hold";
    // What was toggled just now is not in any view yet.
    if (!mine && performance.now() >= this.#gripper_until) this.#gripper = null;
    // In an episode's first instant nobody knows yet what the gripper does: keys wait for that.
    this.#allowed = this.#legal && this.#action !== null;
  }

  /** A key is pressed or a finger moved. @param {Object<Axis, number>} wish each in [-1, 1] */
  press(name, wish) {
    if (!this.#legal) return;
    const first = !this.active;
    this.#wishes.set(name, wish);
    if (first && this.active) this.#say();
  }

  lift(name) {
    if (this.#wishes.delete(name) && !this.active) this.#say();
  }

  toggleGripper() {
    if (!this.#allowed || this.gripperOpen === null) return;
    this.#gripper = this.gripperOpen ? -1 : 1;
    this.#gripper_until = performance.now() + GRIPPER_MS;
    this.#say();
  }

  /** Everything is let go of, as when the page loses the keyboard. */
  release() {
    const was = this.active;
    this.#wishes.clear();
    this.#gripper_until = 0;
    if (was) this.#say();
  }

  get #executedGripper() {
    const at = this.#index("gripper");
    return at < 0 ? null : this.#action.executed[at];
  }

  #index(element) {
    return this.#action?.names.findIndex((name) => ELEMENTS[element].includes(name)) ?? -1;
  }

  #say() {
    if (document.visibilityState === "hidden") return;
    const action = new Array(this.#action?.names.length ?? 0).fill(0);
    const active = this.active;
    if (active) {
      for (const wish of this.#wishes.values()) {
        for (const [axis, value] of Object.entries(wish)) {
          const at = this.#index(axis);
          if (at >= 0) action[at] += this.#speed * value;
        }
      }
      for (let i = 0; i < action.length; i += 1) action[i] = Math.max(-1, Math.min(1, action[i]));
      const at = this.#index("gripper");
      if (at >= 0) action[at] = this.#gripper ?? this.#action.executed[at];
    }
    this.#connection.motion(active, action);
  }
}
