"""Routers side by side: as text for a terminal, and as one HTML page with a plot that needs nothing else.

The page has no script and loads nothing. Its plot shows quality over cost, which is logarithmic; every mark has a title
to hover, and whatever is drawn stands in a table below it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from pointsman.ml.base import Table
from pointsman.ml.evaluation.metrics import RESAMPLES, Figures, Interval, Run, figures, hull

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 52
COLOURS = 6
DASHES = ("", "8 4", "2 3", "10 3 2 3")
"""With the colours they tell 12 curves apart, and four of them without."""
STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5d646d;--line:#d9dde2;--paper:#fff;--dot:#8d959e;
--c0:#0062b1;--c1:#c24a00;--c2:#00795a;--c3:#a83b86;--c4:#7a5c00;--c5:#4b4fc9}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a3abb5;--line:#3a4048;--paper:#16181b;--dot:#7f8892;
--c0:#5cb2ff;--c1:#ff9455;--c2:#3fd0a4;--c3:#ee8fce;--c4:#e3bd4a;--c5:#a5a8ff}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.4rem}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}
.grid{stroke:var(--line)}.model{fill:var(--dot)}.curve{fill:none;stroke-width:2}.name{fill:var(--ink)!important}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}small{color:var(--soft)}
ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem}li svg{width:2rem;height:.8rem}
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Routers on the same prompts."""

    title: str
    prompts: int
    models: tuple[str, ...]
    costs_usd: tuple[float, ...]
    """Mean of a request, of each model."""
    qualities: tuple[float, ...]
    """Mean, of each model."""
    best: int
    """The place of the best single model."""
    routers: tuple[Figures, ...]


def compare(title: str, runs: Sequence[Run], table: Table, best: int, *, resamples: int = RESAMPLES) -> Comparison:
    """Measure all runs on a table; ``best`` is the place of the best single model, chosen on other prompts.

    :raises ValueError: outcomes are missing
    """
    return Comparison(
        title=title,
        prompts=len(table),
        models=table.models,
        costs_usd=tuple(table.cost_usd.mean(0, dtype=np.float64).tolist()),
        qualities=tuple(table.quality.mean(0, dtype=np.float64).tolist()),
        best=best,
        routers=tuple(figures(run, table, best, resamples=resamples) for run in runs),
    )


COLUMNS: tuple[tuple[str, str, Callable[[Figures], Interval], str], ...] = (
    ("quality", "mean at the setting that wants quality alone", lambda f: f.accuracy, "{:.4f}"),
    ("$ per 1k", "what 1,000 requests cost at that setting", lambda f: _scaled(f.cost_usd, 1000), "{:.4f}"),
    ("peak", "the highest quality of any setting", lambda f: f.peak, "{:.4f}"),
    ("AIQ", "mean quality over the range of costs", lambda f: _of_curve(f, f.aiq), "{:.4f}"),
    ("AIQlog", "mean quality over the logarithm of the cost", lambda f: _of_curve(f, f.aiq_log), "{:.4f}"),
    ("CostSave", "saved at the quality of the best single model", lambda f: _scaled(f.cost_save, 100), "{:.1f} %"),
    ("Gain@B", "peak against the best single model", lambda f: _scaled(f.gain_at_best, 100), "{:+.2f} %"),
    ("Gap@O", "peak against the oracle", lambda f: _scaled(f.gap_to_oracle, 100), "{:.1f} %"),
)
"""Head, what it means, the figure, and how it is written."""
WITH_INTERVALS = ("quality", "AIQlog", "CostSave")
"""In the text, where there is no room for all."""


def text_table(comparison: Comparison) -> str:
    """One line for each router; in brackets the ends of 95 % intervals."""
    rows = [["router", *(head for head, *_ in COLUMNS)]]
    for router in comparison.routers:
        cells = [router.name]
        for head, _, figure, form in COLUMNS:
            interval = figure(router)
            cells.append(_value(interval, form) + (f" {_ends(interval, form)}" if head in WITH_INTERVALS else ""))
        rows.append(cells)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
    return "\n".join([_summary(comparison), "", *lines, ""])


def html_page(comparison: Comparison) -> str:
    """A whole page."""
    title = escape(comparison.title)
    heads = "".join(f'<th scope="col" title="{escape(meaning)}">{escape(head)}</th>' for head, meaning, *_ in COLUMNS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{title}</h1><p>{escape(_summary(comparison))}</p>"
        f"<figure>{_plot(comparison)}<figcaption>{_legend(comparison)}</figcaption></figure>"
        f'<h2>Routers</h2><div class="scroll"><table><thead><tr><th scope="col">router</th>{heads}</tr></thead>'
        f"<tbody>{''.join(map(_router_row, comparison.routers))}</tbody></table></div>"
        "<p><small>Below each figure its 95 % interval, by resampling the prompts.</small></p>"
        f'<h2>Single models</h2><div class="scroll"><table><thead><tr><th scope="col">model</th>'
        f'<th scope="col">quality</th><th scope="col">$ per 1k</th></tr></thead>'
        f"<tbody>{_model_rows(comparison)}</tbody></table></div></main></body></html>\n"
    )


def svg(comparison: Comparison) -> str:
    """The plot alone, with its legend below it: an image for a page that is written elsewhere."""
    names = ["single model", *(router.name for router in comparison.routers)]
    marks = ['<circle class="model" cx="16" cy="6" r="4.5"/>', *map(_swatch, range(len(names) - 1), comparison.routers)]
    legend = []
    for place, (name, mark) in enumerate(zip(names, marks, strict=True)):
        x, y = LEFT + place % 2 * (WIDTH - LEFT) // 2, HEIGHT + 12 + place // 2 * 22
        legend.append(f'<g transform="translate({x} {y - 6})">{mark}</g>')
        legend.append(f'<text class="name" x="{x + 42}" y="{y + 4}">{escape(name)}</text>')
    height = HEIGHT + 12 + (len(names) + 1) // 2 * 22
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{height}" fill="var(--paper)"/>{_drawing(comparison)}{"".join(legend)}</svg>\n'
    )


def _summary(comparison: Comparison) -> str:
    best = comparison.best
    return (
        f"{comparison.prompts:,} prompts, {len(comparison.models)} models. "
        f"Best single model: {comparison.models[best]}, quality {comparison.qualities[best]:.4f} "
        f"at ${1000 * comparison.costs_usd[best]:.4f} per 1,000 requests."
    )


def _of_curve(router: Figures, area: Interval) -> Interval:
    """A single point leaves most of the range of costs empty, so its area says nothing of it."""
    return area if len(router.points) > 1 else Interval(math.nan, math.nan, math.nan)


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(*(factor * value for value in interval))


def _value(interval: Interval, form: str) -> str:
    return form.format(interval.value) if math.isfinite(interval.value) else "none"


def _ends(interval: Interval, form: str) -> str:
    number = form.partition("}")[0] + "}"
    return f"[{number.format(interval.low)}, {number.format(interval.high)}]" if math.isfinite(interval.low) else ""


def _router_row(router: Figures) -> str:
    cells = []
    for _, _, figure, form in COLUMNS:
        interval = figure(router)
        cells.append(f"<td>{_value(interval, form)}<br><small>{_ends(interval, form)}</small></td>")
    return f'<tr><th scope="row">{escape(router.name)}</th>{"".join(cells)}</tr>'


def _model_rows(comparison: Comparison) -> str:
    rows = sorted(zip(comparison.qualities, comparison.costs_usd, comparison.models, strict=True), reverse=True)
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{quality:.4f}</td><td>{1000 * cost:.4f}</td></tr>'
        for quality, cost, name in rows
    )


class _Axes:
    """Where a cost and a quality lie on the plot."""

    def __init__(self, comparison: Comparison) -> None:
        points = np.vstack([router.points for router in comparison.routers])
        costs = np.concatenate([comparison.costs_usd, points[:, 0]]) * 1000
        qualities = np.concatenate([comparison.qualities, points[:, 1]])
        smallest = float(costs[costs > 0].min(initial=1.0))
        self.costs = smallest / 1.3, max(float(costs.max()), smallest) * 1.3
        lowest, highest = float(qualities.min()), float(qualities.max())
        self.qualities = math.floor(lowest * 20) / 20, math.ceil(highest * 20 + 0.01) / 20

    def x(self, cost_usd: float) -> float:
        """What costs nothing lies on the left edge."""
        low, high = map(math.log, self.costs)
        part = (math.log(max(1000 * cost_usd, self.costs[0])) - low) / (high - low)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y(self, quality: float) -> float:
        low, high = self.qualities
        return round(HEIGHT - BOTTOM - (quality - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)


def _plot(comparison: Comparison) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="plot-title plot-text">'
        f"{_drawing(comparison)}</svg>"
    )


def _drawing(comparison: Comparison) -> str:
    axes = _Axes(comparison)
    marks = "".join(_mark(axes, place, router) for place, router in enumerate(comparison.routers))
    return (
        '<title id="plot-title">Quality over cost</title><desc id="plot-text">Each point is a mean over all prompts. '
        "Dots are single models, lines the best that a router does at each cost. The tables below hold the same."
        f"</desc>{_grid(axes)}{_models(axes, comparison)}{marks}"
    )


def _grid(axes: _Axes) -> str:
    parts = []
    low, high = axes.costs
    for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in (1, 2, 5):
            cost = step * 10.0**decade
            if low <= cost <= high:
                x = axes.x(cost / 1000)
                parts.append(f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>')
                parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{cost:g}</text>')
    bottom, top = axes.qualities
    apart = 0.05 if top - bottom <= 0.5 else 0.1
    for i in range(math.ceil(bottom / apart - 1e-9), math.floor(top / apart + 1e-9) + 1):
        y = axes.y(i * apart)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{i * apart:.2f}</text>')
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">$ per 1,000 requests</text>'
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">mean quality</text>'
    )
    return "".join(parts)


def _models(axes: _Axes, comparison: Comparison) -> str:
    parts = []
    for place, name in enumerate(comparison.models):
        x, y = axes.x(comparison.costs_usd[place]), axes.y(comparison.qualities[place])
        text = _title(name, comparison.costs_usd[place], comparison.qualities[place])
        parts.append(f'<circle class="model" cx="{x}" cy="{y}" r="4.5">{text}</circle>')
        if place == comparison.best:
            parts.append(f'<text class="name" x="{x}" y="{y + 18}" text-anchor="middle">{escape(name)}</text>')
    return "".join(parts)


def _mark(axes: _Axes, place: int, router: Figures) -> str:
    """A curve that goes on to the right of its last point, or a diamond for a router without a knob."""
    colour = f"var(--c{place % COLOURS})"
    points = [(axes.x(cost), axes.y(quality), cost, quality) for cost, quality in hull(router.points).tolist()]
    if len(router.points) == 1:
        x, y, cost, quality = points[0]
        text = _title(router.name, cost, quality)
        return f'<path d="M{x - 6} {y}L{x} {y - 6}L{x + 6} {y}L{x} {y + 6}Z" fill="{colour}">{text}</path>'
    path = "L".join(f"{x} {y}" for x, y, *_ in points)
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}">{_title(router.name, cost, quality)}</circle>'
        for x, y, cost, quality in points
    )
    return (
        f'<path class="curve" d="M{path}H{WIDTH - RIGHT}" stroke="{colour}" '
        f'stroke-dasharray="{_dash(place)}"><title>{escape(router.name)}</title></path>{dots}'
    )


def _legend(comparison: Comparison) -> str:
    swatch = '<svg viewBox="0 0 32 12" aria-hidden="true">{}</svg>'
    dot = '<circle class="model" cx="16" cy="6" r="4.5"/>'
    parts = [f"<li>{swatch.format(dot)} single model</li>"]
    for place, router in enumerate(comparison.routers):
        parts.append(f"<li>{swatch.format(_swatch(place, router))} {escape(router.name)}</li>")
    return f"<ul>{''.join(parts)}</ul>"


def _swatch(place: int, router: Figures) -> str:
    """How a router is drawn, 32 by 12."""
    colour = f"var(--c{place % COLOURS})"
    if len(router.points) == 1:
        return f'<path d="M10 6L16 0L22 6L16 12Z" fill="{colour}"/>'
    return f'<path d="M0 6H32" stroke="{colour}" stroke-width="2" stroke-dasharray="{_dash(place)}"/>'


def _dash(place: int) -> str:
    return DASHES[place % len(DASHES)]


def _title(name: str, cost_usd: float, quality: float) -> str:
    return f"<title>{escape(name)}: quality {quality:.4f}, ${1000 * cost_usd:.4f} per 1,000 requests</title>"
