/** Joins the parts of the page. The page holds no truth of its own: it shows the newest view. */

import { Banner } from "./banner.js";
import { Cameras } from "./cameras.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { byId, setText } from "./dom.js";
import { listenToKeys, releaseWhenLeft } from "./keys.js";
import { Motion } from "./motion.js";
import { Notices } from "./notices.js";
import { Pads } from "./pads.js";
import { Panels } from "./panels.js";
import { Preflight } from "./preflight.js";
import { Review } from "./review.js";
import { Sounds } from "./sounds.js";
import { Strips } from "./strips.js";

/** Ages grow, and a silence is noticed, without a word from the session. */
const TICK_MS = 200;

const connection = new Connection();
const motion = new Motion(connection);
const sounds = new Sounds(byId("mute"));
const notices = new Notices(byId("notices"), sounds, () => controls.ask(["undo"]));
const controls = new Controls(connection, motion, notices);
const banner = new Banner(byId("banner"), byId("told"));
const cameras = new Cameras(byId("cameras"), connection);
const pads = new Pads(byId("drive"), motion);
const panels = new Panels();
const preflight = new Preflight(controls);
const review = new Review(connection, controls);
const strips = new Strips();

listenToKeys(motion, controls);
releaseWhenLeft(motion, connection);

/** @type {?import("./messages.js").View} */
let view = null;
/** Pictures come more often than views: what hangs on views is drawn anew for them alone. */
let stale = true;

connection.addEventListener("view", (event) => {
  view = event.detail;
  strips.update(view);
  panels.update(view);
  notices.update(view);
  refresh();
});
connection.addEventListener("lost", refresh);

/** Show what depends on time and on the connection too. */
function refresh() {
  const status = connection.status;
  banner.update(view, status, connection.client);
  motion.update(view, status.live);
  controls.update(view, status.live);
  cameras.update(view, status.live);
  setText(byId("client"), connection.client ? `this tab is ${connection.client}` : "not connected");
  if (view !== null) {
    pads.update(view, status.live);
    preflight.update(view, status.live);
    review.update(view, status.live);
  }
  document.body.classList.toggle("moving", motion.active);
  stale = true;
}

function draw() {
  if (stale) {
    strips.draw();
    panels.draw();
    stale = false;
  }
  review.draw();
  requestAnimationFrame(draw);
}

setInterval(refresh, TICK_MS);
requestAnimationFrame(draw);
connection.open();
