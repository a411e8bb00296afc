from __future__ import annotations

from typing import Any

import pytest

from pointsman.wire.logprobs import read_entries

ENTRY = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}


def test_entries_are_kept_as_they_are() -> None:
    entries = [ENTRY, {"token": "!", "new": 1}]
    assert read_entries(entries) is entries


@pytest.mark.parametrize(
    "value", [None, [], {}, 7, "x", [7], [{}], [{"token": 7}], [ENTRY | {"top_logprobs": [7]}], [ENTRY, None]]
)
def test_what_is_not_as_it_should_be_is_none(value: Any) -> None:
    assert read_entries(value) is None
