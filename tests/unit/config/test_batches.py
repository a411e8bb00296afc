from __future__ import annotations

from typing import Any

import pytest

from pointsman.batches.settings import BatchSettings
from pointsman.config.batches import LEAST_LINE, read_batches
from pointsman.config.check import Report


def report() -> Report:
    return Report("config.yaml", {}, {})


@pytest.mark.parametrize(
    ("told", "settings"),
    [
        ({}, BatchSettings()),
        ({"batches": {}}, BatchSettings()),
        (
            {"batches": {"max_requests": 7, "max_open": 2, "max_concurrency": 3}},
            BatchSettings(max_requests=7, max_open=2, max_concurrency=3),
        ),
        (
            {"batches": {"max_input_mb": 2, "max_line_mb": 0.5}},
            BatchSettings(max_input_bytes=2 << 20, max_line_bytes=1 << 19),
        ),
        ({"batches": {"max_line_mb": 0.0001}}, BatchSettings(max_line_bytes=LEAST_LINE)),
    ],
)
def test_limits_are_read(told: Any, settings: BatchSettings) -> None:
    found = report()
    assert read_batches(told, found) == settings
    assert not found.has_errors


@pytest.mark.parametrize(
    "told", [{"max_requests": 0}, {"max_requests": "many"}, {"max_line_mb": 0}, {"max_concurrency": -1}]
)
def test_what_is_no_limit_is_told(told: Any) -> None:
    found = report()
    assert read_batches({"batches": told}, found) == BatchSettings()
    assert found.has_errors
