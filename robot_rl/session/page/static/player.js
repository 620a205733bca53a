/** Pictures of a recorded episode: step by step, or as fast as they were taken. */

import { make } from "./dom.js";

const KEPT = 600;

export class Player {
  #root;
  #connection;
  #moved;
  #columns = null;
  #canvases = [];
  /** @type {Map<string, ImageBitmap>} by path, oldest first */
  #pictures = new Map();
  #timer = 0;
  #busy = false;
  #again = false;
  at = 0;

  /** @param {() => void} moved called when the shown step or playing changed */
  constructor(root, connection, moved) {
    this.#root = root;
    this.#connection = connection;
    this.#moved = moved;
  }

  get playing() {
    return this.#timer !== 0;
  }

  /**
   * @param {?import("./timeline.js").Columns} columns
   * @param {string[]} cameras whose pictures may have been kept
   */
  load(columns, cameras) {
    this.pause();
    this.#columns = columns;
    for (const picture of this.#pictures.values()) picture.close();
    this.#pictures.clear();
    this.#canvases = cameras.map((name) => {
      const words = { role: "img", "aria-label": `Recorded picture of ${name}` };
      // Shown once there is a picture: of some cameras nothing is kept.
      return make("canvas", { ...words, "data-camera": name, hidden: true });
    });
    this.#root.replaceChildren(...this.#canvases);
    this.seek(0);
  }

  seek(step) {
    const last = Math.max(0, (this.#columns?.steps ?? 1) - 1);
    this.at = Math.min(last, Math.max(0, Math.round(step)));
    this.#moved();
    this.#paint();
  }

  toggle() {
    if (this.playing) return this.pause();
    if (this.#columns === null) return;
    if (this.at >= this.#columns.steps - 1) this.seek(0);
    const { t_s, steps } = this.#columns;
    const period_ms = (1000 * (t_s[steps] - t_s[0])) / steps;
    this.#timer = setInterval(() => this.#advance(), period_ms);
    this.#moved();
  }

  pause() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#moved();
  }

  #advance() {
    if (this.at >= this.#columns.steps - 1) this.pause();
    else this.seek(this.at + 1);
  }

  /** The newest step wins: what cannot be fetched in time is not shown. */
  async #paint() {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    do {
      this.#again = false;
      const step = this.at;
      await Promise.all(this.#canvases.map((canvas) => this.#paintOne(canvas, step)));
    } while (this.#again);
    this.#busy = false;
  }

  async #paintOne(canvas, step) {
    const camera = encodeURIComponent(canvas.dataset.camera);
    const episode = encodeURIComponent(this.#columns.episode_id);
    const picture = await this.#picture(`/api/episode/${episode}/picture/${camera}/${step}`);
    if (picture === null) return this.#drop(canvas);
    canvas.hidden = false;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    canvas.getContext("2d").drawImage(picture, 0, 0);
    canvas.dataset.step = String(step);
  }

  /** Of a camera that nothing was kept of, nothing is asked again. */
  #drop(canvas) {
    this.#canvases = this.#canvases.filter((other) => other !== canvas);
    canvas.remove();
  }

  async #picture(path) {
    if (!this.#pictures.has(path)) {
      try {
        const response = await this.#connection.get(path);
        this.#pictures.set(path, await createImageBitmap(await response.blob()));
      } catch {
        return null;
      }
      if (this.#pictures.size > KEPT) {
        const [oldest] = this.#pictures.keys();
        this.#pictures.get(oldest).close();
        this.#pictures.delete(oldest);
      }
    }
    return this.#pictures.get(path);
  }
}
