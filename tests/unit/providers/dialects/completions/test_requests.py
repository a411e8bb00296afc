from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.completions.golden import built, cases

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects import completions


@cases("requests_in")
def test_a_request_is_read(case: Any) -> None:
    assert completions.read_request(json.dumps(case["native"]).encode()) == built(case["canonical"])


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": "a", "max_tokens": "many"}, "max_tokens"),
        ({"prompt": "a", "stop": [1]}, "stop[0]"),
        ({"prompt": "a", "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_what_is_not_valid_is_refused_by_its_place(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        completions.read_request(json.dumps(members).encode())
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"7"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        completions.read_request(body)
    assert caught.value.param is None


@pytest.mark.parametrize(
    ("members", "options"),
    [
        ({"echo": True, "best_of": 3, "suffix": "."}, {"echo": True, "best_of": 3, "suffix": "."}),
        ({"echo": False, "best_of": 1, "suffix": ""}, {}),
        ({"n": 2, "best_of": 2}, {}),
        ({"n": 2, "best_of": 4}, {"best_of": 4}),
    ],
)
def test_what_only_a_text_completion_can_do_is_an_option_if_it_is_wanted(
    members: dict[str, Any], options: dict[str, Any]
) -> None:
    assert completions.read_request(json.dumps({"prompt": "a"} | members).encode()).options == options
