"""The page of one episode: a jinja2 template. What fills it is in `page`.

Its colours and most of its style are those of the run's report.
"""

from robot_rl.app.report.template import CHART

STYLE = """
main { max-width: 1180px; }
.e0 { --c: #0072b2; } .e1 { --c: #d55e00; } .e2 { --c: #009e73; } .e3 { --c: #cc79a7; }
.e4 { --c: #e69f00; } .e5 { --c: #56b4e9; } .e6 { --c: var(--neutral); }
.mark { display: inline-block; border-radius: 999px; padding: 2px 12px; font-size: 15px;
  color: var(--card); background: var(--c); vertical-align: middle; letter-spacing: 0; }
.success { --c: var(--good); } .failure { --c: var(--base); } .unknown { --c: var(--neutral); }
.videos { display: grid; gap: 16px;
  justify-content: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 560px)); margin: 16px 0; }
.videos video { width: 100%; max-height: 340px; display: block; border-radius: 8px;
  background: #000; }
.videos .small { image-rendering: pixelated; }
.time { position: sticky; top: 0; z-index: 1; display: flex; gap: 14px; align-items: center;
  padding: 10px 18px; margin: 14px 0; }
.time input { flex: 1; min-width: 60px; accent-color: var(--improved); }
.time button { font: inherit; color: inherit; background: none; border: 1px solid var(--rule);
  border-radius: 8px; padding: 3px 14px; cursor: pointer; }
.time output { font-variant-numeric: tabular-nums; white-space: nowrap; color: var(--soft); }
figure svg { cursor: crosshair; }
svg .cursor { stroke: var(--ink); stroke-width: 1.2; opacity: .65; }
details > .charts { margin-top: 12px; }
.facts td, .facts th { text-align: left; vertical-align: top; white-space: normal;
  overflow-wrap: anywhere; }
.facts th { width: 220px; }
.warn { color: var(--base); }
"""

PAGE = (
    CHART
    + """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ episode_id }}: {{ outcome }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<header>
  <p class="kicker">{{ task }}{% if instruction %} &middot; {{ instruction }}{% endif %}</p>
  <h1>{{ episode_id }} <span class="mark {{ outcome }}">{{ outcome }}</span></h1>
  {% for line in remarks %}<p class="warn">{{ line }}</p>
  {% endfor %}
</header>
<section class="tiles">
{% for value, name in tiles %}
  <div class="card tile"><b>{{ value }}</b><span>{{ name }}</span></div>
{% endfor %}
</section>
{% if videos %}
<section class="videos">
{% for video in videos %}
  <figure class="card">
    <figcaption><b>{{ video.name }}</b></figcaption>
    <video src="{{ video.uri }}" muted playsinline preload="auto"
      class="{{ 'small' if video.small else '' }}"></video>
  </figure>
{% endfor %}
</section>
{% endif %}
<section class="card time">
  <button type="button" id="play">Play</button>
  <input type="range" id="at" min="0" max="{{ steps }}" value="0" aria-label="step">
  <output id="where"></output>
</section>

<section class="charts">
{% for chart in charts %}{{ drawn(chart) }}{% endfor %}
</section>
<details><summary>All observations and timing</summary>
<section class="charts">
{% for chart in more %}{{ drawn(chart) }}{% endfor %}
</section>
</details>

{% if gate %}
<h2>What the gate did</h2>
<section class="card">
  <div class="scroll"><table>
    <thead><tr><th>At</th><th>Reason</th><th>Steps</th></tr></thead>
    <tbody>
    {% for at, reason, count in gate %}
      <tr><td>{{ at }}</td><td>{{ reason }}</td><td>{{ count }}</td></tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% if gate_left %}<p class="soft">{{ gate_left }} more</p>{% endif %}
</section>
{% endif %}

{% for title, rows in tables %}
<h2>{{ title }}</h2>
<section class="card">
  <table class="facts"><tbody>
  {% for name, value in rows %}
    <tr><th>{{ name }}</th><td>{{ value }}</td></tr>
  {% endfor %}
  </tbody></table>
</section>
{% endfor %}
</main>
<script>
const period = {{ period_s }}, steps = {{ steps }};
const left = {{ plot.left }}, inner = {{ plot.inner }};
const at = document.getElementById("at"), where = document.getElementById("where");
const play = document.getElementById("play");
const videos = [...document.querySelectorAll("video")];
const cursors = [...document.querySelectorAll("figure svg")].map(svg => {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("class", "cursor");
  svg.append(line);
  svg.addEventListener("click", event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * {{ plot.width }};
    stop();
    move(Math.round((x - left) / inner * steps));
  });
  return line;
});
let timer = 0;
function move(step) {
  step = Math.max(0, Math.min(steps, step));
  at.value = step;
  where.textContent = "step " + step + " of " + steps + ", " + (step * period).toFixed(2) + " s";
  const x = left + inner * step / steps;
  const upright = "M" + x + " {{ plot.top }}V{{ plot.bottom }}";
  for (const line of cursors) line.setAttribute("d", upright);
  for (const video of videos) video.currentTime = (step + 0.5) * period;
}
function stop() { clearInterval(timer); timer = 0; play.textContent = "Play"; }
play.addEventListener("click", () => {
  if (timer) return stop();
  if (+at.value === steps) move(0);
  const from = +at.value, begun = performance.now();
  play.textContent = "Pause";
  timer = setInterval(() => {
    const step = from + Math.floor((performance.now() - begun) / 1000 / period);
    move(step);
    if (step >= steps) stop();
  }, Math.max(33, 1000 * period));
});
at.addEventListener("input", () => { stop(); move(+at.value); });
move(0);
</script>
</body>
</html>
"""
)
