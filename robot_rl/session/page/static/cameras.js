/** Live pictures: the newest that came, how old it is, and over it the one to compare with. */

import { ageText, icon, make, setAttribute, setHidden, setText } from "./dom.js";

const OLD_S = 1;

class Camera {
  #live = make("canvas", { class: "live", role: "img" });
  #ghost = make("canvas", { class: "ghost", "aria-hidden": "true" });
  #rate = make("span", { class: "rate" });
  #age = make("span", { class: "age" });
  #mark = make("span", { class: "mark" }, icon("frozen"), "frozen");
  #fade = make("input", { type: "range", min: "0", max: "100", value: "0", class: "fade" });
  #slider;
  #painted_ms = null;
  #age_ms = 0;

  constructor(name) {
    this.#live.setAttribute("aria-label", `Camera ${name}`);
    this.#slider = make("label", { class: "reference" }, "reference", this.#fade);
    this.#slider.hidden = true;
    this.#fade.setAttribute("aria-label", `Opacity of the reference picture over ${name}`);
    this.#fade.addEventListener("input", () => this.#showGhost());
    this.#fade.addEventListener("pointerup", () => this.#fade.blur());
    this.#showGhost();
    const caption = make("figcaption", {}, make("b", {}, name), this.#rate, this.#age);
    caption.append(this.#slider);
    const frame = make("div", { class: "frame" }, this.#live, this.#ghost, this.#mark);
    this.figure = make("figure", { class: "camera", "data-camera": name }, frame, caption);
  }

  /** @param {ImageBitmap} bitmap */
  paint(bitmap, picture) {
    const canvas = picture.reference ? this.#ghost : this.#live;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    if (picture.reference) {
      setHidden(this.#slider, false);
    } else {
      canvas.dataset.number = String(picture.number);
      this.#painted_ms = performance.now();
      this.#age_ms = picture.age_ms;
    }
  }

  /** @param {?import("./messages.js").CameraView} told  @param {boolean} live */
  update(told, live) {
    const shown_s = this.#shownAge();
    const frozen = told?.frozen || !live || shown_s === null || shown_s > OLD_S;
    setText(this.#rate, told ? `${told.rate_hz.toFixed(0)} Hz` : "– Hz");
    setText(this.#age, shown_s === null ? "no picture" : `${ageText(shown_s)} old`);
    setAttribute(this.figure, "data-frozen", String(frozen));
    setText(this.#mark.lastChild, shown_s === null ? "no picture" : "frozen");
  }

  /** Age of what is painted [s], whatever the session says of pictures that never came. */
  #shownAge() {
    if (this.#painted_ms === null) return null;
    return (this.#age_ms + performance.now() - this.#painted_ms) / 1000;
  }

  #showGhost() {
    this.#ghost.style.opacity = String(this.#fade.valueAsNumber / 100);
  }
}

export class Cameras {
  #root;
  #connection;
  #names = [];
  /** @type {Map<string, Camera>} */
  #cameras = new Map();

  constructor(root, connection) {
    this.#root = root;
    this.#connection = connection;
    connection.addEventListener("welcome", (event) => this.#name(event.detail.cameras ?? []));
    connection.addEventListener("cameras", (event) => this.#name(event.detail.names));
    connection.addEventListener("picture", (event) => this.#show(event.detail));
  }

  update(view, live) {
    const told = new Map((view?.cameras ?? []).map((camera) => [camera.name, camera]));
    for (const name of told.keys()) this.#camera(name);
    for (const [name, camera] of this.#cameras) camera.update(told.get(name), live);
    setAttribute(this.#root, "data-count", String(this.#cameras.size));
  }

  #name(names) {
    this.#names = names;
    for (const name of names) this.#camera(name);
  }

  #camera(name) {
    if (!this.#cameras.has(name)) {
      const camera = new Camera(name);
      this.#cameras.set(name, camera);
      this.#root.append(camera.figure);
    }
    return this.#cameras.get(name);
  }

  /** The next picture is sent when this one was painted: a slow page is shown fewer, never older. */
  async #show(picture) {
    const name = this.#names[picture.camera];
    const bitmap = await createImageBitmap(picture.jpeg).catch(() => null);
    await new Promise(requestAnimationFrame);
    if (bitmap !== null && name !== undefined) this.#camera(name).paint(bitmap, picture);
    bitmap?.close();
    this.#connection.painted(picture.index, picture.number);
  }
}
