from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from unit.ml.evaluation.tables import predictions, table

from pointsman.ml.evaluation.baselines import oracle, zero_router
from pointsman.ml.evaluation.metrics import Run, sweep
from pointsman.ml.evaluation.report import Comparison, compare, html_page, svg, text_table

VOID = {"meta", "br"}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    runs = [
        zero_router(table(), 3),
        oracle(table()),
        Run("kNN <&> ridge", sweep(*predictions(), table().models)),
        Run("never good", np.zeros((1, 60), np.intp)),
    ]
    return compare("A <title>", runs, table(), 3, resamples=20)


class Page(HTMLParser):
    """Reads a page, and fails where an element is not closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_text_has_a_line_for_each_router_below_its_heads(comparison: Comparison) -> None:
    lines = text_table(comparison).splitlines()
    assert lines[0] == ("60 prompts, 4 models. Best single model: d, quality 0.7667 at $1.4143 per 1,000 requests.")
    assert lines[2].split() == (
        ["router", "quality", "$", "per", "1k", "peak", "AIQ", "AIQlog", "CostSave", "Gain@B", "Gap@O"]
    )
    assert [line[:13].strip() for line in lines[3:]] == ["zero router", "oracle", "kNN <&> ridge", "never good"]
    assert "70.4 % [" in lines[5]
    assert "none" in lines[6]


def test_the_page_is_well_formed_and_says_what_the_text_says(comparison: Comparison) -> None:
    page = Page(html_page(comparison))
    assert page.open == []
    for words in ("A <title>", "kNN <&> ridge", "0.8333", "70.4 %", "none", "quality 0.7667"):
        assert words in page.words


def test_the_page_loads_nothing_and_runs_nothing(comparison: Comparison) -> None:
    text = html_page(comparison)
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(page.seen)
    assert not re.search(r"https?:|url\(|@import|//", text)
    assert not any(name in {"src", "href", "srcset"} or name.startswith("on") for name, _ in page.attributes)


def test_every_model_and_router_can_be_hovered(comparison: Comparison) -> None:
    text = html_page(comparison)
    for name in ("a", "b", "c", "d", "oracle", "kNN &lt;&amp;&gt; ridge"):
        assert re.search(rf"<title>{name}: quality 0\.\d{{4}}, \$\d\.\d{{4}} per 1,000 requests</title>", text)


def test_the_plot_is_named_for_those_who_cannot_see_it(comparison: Comparison) -> None:
    text = html_page(comparison)
    assert 'role="img" aria-labelledby="plot-title plot-text"' in text
    assert 'id="plot-title"' in text
    assert 'id="plot-text"' in text
    assert 'lang="en"' in text


def test_the_page_has_colours_for_dark_and_light(comparison: Comparison) -> None:
    text = html_page(comparison)
    assert "color-scheme:light dark" in text
    assert "prefers-color-scheme:dark" in text


def test_marks_lie_inside_the_plot_and_dearer_ones_to_the_right(comparison: Comparison) -> None:
    dots = re.findall(r'<circle class="model" cx="([\d.]+)" cy="([\d.]+)" r="4.5"><title>', html_page(comparison))
    x, y = zip(*((float(x), float(y)) for x, y in dots), strict=True)
    assert sorted(x) == list(x)
    assert sorted(y, reverse=True) == list(y)
    assert all(64 <= value <= 840 for value in x)
    assert all(16 <= value <= 428 for value in y)


def test_models_that_cost_nothing_are_drawn_too() -> None:
    known = table()
    free = replace(known, cost_usd=known.cost_usd.copy())
    free.cost_usd[:, 0] = 0.0
    comparison = replace(compare("free", [oracle(table())], table(), 3, resamples=2), costs_usd=(0.0, 1e-4, 2e-4, 3e-4))
    assert "a: quality 0.3500, $0.0000" in html_page(comparison)


def test_the_plot_alone_is_an_image_with_its_legend(comparison: Comparison) -> None:
    root = ET.fromstring(svg(comparison))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"single model", *(router.name for router in comparison.routers)} <= set(texts)
