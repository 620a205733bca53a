/** How the run stands: episode, reward, learner, data, rates and how to correct better. */

import { ageText, bytesText, byId, make, percentText, setAttribute, setHidden, setText } from "./dom.js";
import { drawActions, drawRates } from "./figures.js";

const LEARNER = {
  starting: "Learner is starting",
  learning: "Learning",
  waiting: "Learner waits for data",
  lost: "LEARNER LOST",
};

/** With room for fewer, a person should look at the disk. */
const FEW_EPISODES = 20;
const whole = new Intl.NumberFormat("en").format;

export class Panels {
  #action = null;
  #rates = [];

  /** @param {import("./messages.js").View} view */
  update(view) {
    this.#action = view.action;
    this.#rates = view.rates;
    setHidden(byId("action"), view.action === null);
    showReason(view.action);
    showEpisode(view.episode);
    showReward(view.reward);
    showLearner(view.learner);
    showData(view.data);
    showHints(view.hints);
    setText(byId("run"), `${view.run} · ${view.task}`);
  }

  draw() {
    drawActions(byId("action-bars"), this.#action);
    drawRates(byId("rates"), this.#rates);
  }
}

function showReason(action) {
  const passed = action === null || action.gate_reason.toLowerCase() === "passed";
  const words = passed ? "" : `gate: ${action.gate_reason.toLowerCase().replaceAll("_", " ")}`;
  setText(byId("gate-reason"), words);
}

function showEpisode(episode) {
  setHidden(byId("episode"), episode === null);
  if (episode === null) return;
  const { step, horizon, seconds, human_steps, reward, seed } = episode;
  setAttribute(byId("episode"), "title", `seed ${seed}, reward ${reward.toFixed(1)}`);
  byId("progress").max = Math.max(1, horizon);
  byId("progress").value = step;
  setText(byId("episode-id"), episode.episode_id);
  const hand = human_steps > 0 ? ` · ${human_steps} by hand` : "";
  setText(byId("episode-steps"), `step ${step} of ${horizon} · ${seconds.toFixed(1)} s${hand}`);
  setHidden(byId("judging"), !episode.judging);
  setAttribute(byId("outcome"), "data-outcome", episode.outcome);
  setText(byId("outcome"), episode.outcome === "unknown" ? "" : episode.outcome);
}

function showReward(reward) {
  setHidden(byId("reward"), reward === null);
  if (reward === null) return;
  const { probability, threshold, frame_age_s, model } = reward;
  setText(byId("reward-model"), model);
  const meter = byId("reward-meter");
  meter.querySelector(".fill").style.width = percentText(probability ?? 0).replace(" ", "");
  const mark = meter.querySelector(".threshold");
  setHidden(mark, threshold === null);
  mark.style.left = `${100 * (threshold ?? 0)}%`;
  const reached = probability !== null && threshold !== null && probability >= threshold;
  setAttribute(meter, "data-reached", String(reached));
  const now = probability === null ? "no judgement yet" : probability.toFixed(2);
  const needed = threshold === null ? "" : ` of ${threshold.toFixed(2)}`;
  const age = frame_age_s === null ? "" : ` · picture ${ageText(frame_age_s)} old`;
  setText(byId("reward-words"), `${reached ? "✓ " : ""}${now}${needed}${age}`);
}

function showLearner(learner) {
  const panel = byId("learner");
  setHidden(panel, learner === null);
  if (learner === null) return;
  setAttribute(panel, "data-state", learner.state);
  setText(byId("learner-state"), LEARNER[learner.state] ?? learner.state);
  const { updates, updates_per_s, version, weights_age_s, env_steps, words } = learner;
  const speed = `${whole(updates)} updates, ${updates_per_s.toFixed(1)}/s`;
  const weights = `weights ${whole(version)}, ${ageText(weights_age_s)} old`;
  setText(byId("learner-numbers"), `${speed} · ${weights} · ${whole(env_steps)} steps`);
  setText(byId("learner-words"), words);
}

function showData(data) {
  setHidden(byId("data"), data === null);
  if (data === null) return;
  const { episodes, target, discarded, successes_autonomous: alone, free_bytes } = data;
  const bar = byId("target");
  setHidden(bar, target === 0);
  bar.max = Math.max(1, target);
  bar.value = Math.min(episodes, target);
  const of = target > 0 ? ` of ${whole(target)}` : "";
  const thrown = discarded > 0 ? `, ${whole(discarded)} discarded` : "";
  setText(byId("data-episodes"), `${whole(episodes)}${of} episodes${thrown}`);
  const helped = `${whole(data.successes_assisted)} with help`;
  const share = data.steps > 0 ? percentText(data.human_steps / data.steps) : "–";
  setText(byId("data-successes"), `success: ${whole(alone)} alone, ${helped}`);
  const room = `room for ${whole(data.room_episodes)} episodes`;
  setText(byId("data-disk"), `${bytesText(free_bytes)} free, ${room}`);
  setAttribute(byId("data"), "data-full", String(data.room_episodes < FEW_EPISODES));
  const steps = `${whole(data.steps)} steps, ${share} by hand`;
  setAttribute(byId("data"), "title", `${steps}, in ${data.folder}`);
}

function showHints(hints) {
  const list = byId("hints");
  setHidden(list, hints.length === 0);
  const same = [...list.children].map((item) => item.textContent).join("\n") === hints.join("\n");
  if (!same) list.replaceChildren(...hints.map((words) => make("li", {}, words)));
}
