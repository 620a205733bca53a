"""The page: one jinja2 template with its style. What fills it is in `page`.

A string rather than a data file, so that the report works from every kind of installation.
Colours: Okabe and Ito's palette (2008), told apart by colour-blind readers, per colour scheme.
"""

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5b6570; --rule: #dfe3e8;
  --base: #d55e00; --improved: #0072b2; --help: #9a5b86; --neutral: #68727d; --good: #00795a; }
@media (prefers-color-scheme: dark) { :root {
  --page: #101418; --card: #181e24; --ink: #e8ecf0; --soft: #9aa6b2; --rule: #2c353e;
  --base: #f0904a; --improved: #56b4e9; --help: #d99cc4; --neutral: #9aa6b2; --good: #3fc79a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 16px 56px; }
h1 { font-size: clamp(26px, 5vw, 40px); line-height: 1.15; margin: 2px 0 14px;
  letter-spacing: -0.02em; text-wrap: balance; }
h2 { font-size: 20px; margin: 36px 0 10px; }
p { margin: 0 0 8px; }
.kicker, .soft, figcaption span, small { color: var(--soft); }
.kicker { font-size: 14px; margin: 0; }
.base { --c: var(--base); } .improved { --c: var(--improved); }
.help { --c: var(--help); } .neutral { --c: var(--neutral); }
.word { color: var(--c); white-space: nowrap; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 12px;
  padding: 16px 18px; }
.rates { display: grid; gap: 14px; margin: 18px 0 14px; }
.rate { display: grid; grid-template-columns: 90px 84px 1fr 130px; gap: 12px;
  align-items: center; }
.rate b { font-size: 24px; color: var(--c); text-align: right;
  font-variant-numeric: tabular-nums; }
.rate small { font-variant-numeric: tabular-nums; white-space: nowrap; }
.track { position: relative; height: 12px; background: var(--rule); border-radius: 6px; }
.track i { position: absolute; top: 0; bottom: 0; background: var(--c); opacity: .38;
  border-radius: 6px; }
.track u { position: absolute; top: -3px; width: 6px; height: 18px; margin-left: -3px;
  background: var(--c); border-radius: 3px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(142px, 1fr));
  gap: 12px; margin: 14px 0; }
.tile { padding: 14px; }
.tile b { display: block; font-size: 20px; line-height: 1.25; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: 14px; line-height: 1.35; }
.phases { display: flex; height: 14px; border-radius: 7px; overflow: hidden; gap: 2px; }
.phases i { min-width: 2px; background: var(--c); }
.key { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 14px; color: var(--soft);
  list-style: none; padding: 0; margin: 8px 0 0; }
.key i { display: inline-block; width: 18px; margin-right: 6px; vertical-align: middle; }
.key .fill { height: 10px; background: var(--c); border-radius: 3px; }
.key .line { height: 0; border-top: 3px solid var(--c); }
.key .dashed { height: 0; border-top: 3px dashed var(--c); }
.key .band { height: 12px; background: var(--c); opacity: .28; border-radius: 3px; }
.key .dot { width: 10px; height: 10px; background: var(--c); border-radius: 50%; }
.p0 { --c: var(--neutral); } .p1 { --c: var(--help); }
.p2 { --c: var(--improved); } .p3 { --c: var(--good); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-top: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-top: 0; font-size: 14px; font-weight: 600; }
tbody th { font-weight: 400; color: var(--soft); }
.charts, .starts { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
figure { margin: 0; display: flex; flex-direction: column; }
figcaption { margin-bottom: 8px; }
figcaption b { display: block; }
figcaption span { display: block; font-size: 14px; line-height: 1.4; }
figure .key { margin: 0 0 8px; }
figure svg { width: 100%; height: auto; margin-top: auto; display: block; }
svg text { font-size: 13px; fill: var(--soft); }
svg .mid { text-anchor: middle; } svg .end { text-anchor: end; }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--soft); }
svg path { fill: none; } svg .line { stroke: var(--c); stroke-width: 2.2;
  stroke-linejoin: round; }
svg .dashed { stroke-dasharray: 6 4; } svg .band { fill: var(--c); opacity: .2; }
svg .whisker { stroke: var(--c); stroke-width: 2; opacity: .75; }
svg .dot { fill: var(--c); stroke: var(--card); stroke-width: 1.2; }
svg path.flag { stroke: var(--soft); stroke-dasharray: 2 3; } svg text.flag { fill: var(--ink); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; font-size: 15px; }
.pair span { color: var(--soft); }
.starts img { width: 100%; height: auto; display: block; border-radius: 8px; }
details { margin-top: 12px; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace;
  background: var(--page); padding: 12px; border-radius: 8px; }
@media (max-width: 620px) {
  .rate { grid-template-columns: 1fr auto; gap: 2px 12px; }
  .rate .track { grid-column: 1 / -1; } .rate small { grid-column: 1 / -1; }
  svg text { font-size: 15px; }
  .card { padding: 14px; } th, td { padding: 7px 6px; font-size: 15px; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""

CHART = """{% macro drawn(chart) %}
  <figure class="card">
    <figcaption><b>{{ chart.title }}</b><span>{{ chart.note }}</span></figcaption>
    {% if chart.legend %}
    <ul class="key">
    {% for kind, role, label in chart.legend %}
      <li><i class="{{ kind }} {{ role }}"></i>{{ label }}</li>
    {% endfor %}
    </ul>
    {% endif %}
    {{ chart.svg | safe }}
  </figure>
{% endmacro %}"""
"""How a `Chart` stands on a page, of the run or of an episode."""

PAGE = (
    CHART
    + """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ task }}: {{ base.rate }} to {{ improved.rate }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<header>
  <p class="kicker">{{ task }} &middot; seed {{ seed }}</p>
  <h1>Base <span class="base word">{{ base.rate }}</span> &rarr;
    improved <span class="improved word">{{ improved.rate }}</span> in {{ wall }}</h1>
</header>
<section class="card">
  <p>{{ verdict }}</p>
  <div class="rates">
  {% for policy in (base, improved) %}
    <div class="rate {{ policy.role }}">
      <span>{{ policy.name }}</span><b>{{ policy.rate }}</b>
      <div class="track">
        <i style="left:{{ policy.left }}%;width:{{ policy.width }}%"></i>
        {% if policy.at is not none %}<u style="left:{{ policy.at }}%"></u>{% endif %}
      </div>
      <small>{{ policy.interval }}, n = {{ policy.episodes }}</small>
    </div>
  {% endfor %}
  </div>
  <small>Success without any human help; the pale bars are 95 % Wilson intervals.</small>
</section>
<section class="tiles">
{% for value, name in tiles %}
  <div class="card tile"><b>{{ value }}</b><span>{{ name }}</span></div>
{% endfor %}
</section>
{% if phases %}
<section class="card">
  <div class="phases">
  {% for phase in phases %}
    <i class="p{{ loop.index0 % 4 }}" style="flex:{{ phase.share }}"></i>
  {% endfor %}
  </div>
  <ul class="key">
  {% for phase in phases %}
    <li><i class="fill p{{ loop.index0 % 4 }}"></i>{{ phase.name }} {{ phase.time }}</li>
  {% endfor %}
  </ul>
</section>
{% endif %}

<h2>Base and improved policy</h2>
<section class="card">
  <div class="scroll"><table>
    <thead><tr><th></th><th class="base word">Base</th>
      <th class="improved word">Improved</th></tr></thead>
    <tbody>
    {% for name, was, now in comparison %}
      <tr><th>{{ name }}</th><td>{{ was }}</td><td>{{ now }}</td></tr>
    {% endfor %}
    </tbody>
  </table></div>
  <p class="soft" style="margin-top:10px">{{ discordance }}</p>
</section>

{% if starts %}
<h2>The same start, twice</h2>
<section class="starts">
{% for start in starts %}
  <figure class="card">
    <figcaption class="pair">
      <div><b class="base word">Base</b> {{ start.base }}</div>
      <div><b class="improved word">Improved</b> {{ start.improved }}</div>
    </figcaption>
    <picture>
      <source srcset="{{ start.strip }}"
        media="(prefers-reduced-motion: reduce), print">
      <img src="{{ start.animation }}"
        alt="Base left, improved right, both from start {{ start.seed }}">
    </picture>
    <small>start {{ start.seed }}</small>
  </figure>
{% endfor %}
</section>
{% endif %}

{% if charts %}
<h2>How it came about</h2>
<section class="charts">
{% for chart in charts %}{{ drawn(chart) }}{% endfor %}
</section>
{% endif %}

<h2>Safety gate</h2>
<section class="card">
  <p>{{ gate_total }}</p>
  {% if gate_reasons %}
  <div class="scroll"><table>
    <thead><tr><th>Reason</th><th>Actions</th><th>Share</th></tr></thead>
    <tbody>
    {% for reason, count, share in gate_reasons %}
      <tr><td>{{ reason }}</td><td>{{ count }}</td><td>{{ share }}</td></tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% endif %}
</section>

<h2>What ran</h2>
<section class="card">
  <details><summary>Versions</summary><pre>{{ versions }}</pre></details>
  <details><summary>Configuration</summary><pre>{{ config }}</pre></details>
</section>
</main>
</body>
</html>
"""
)
