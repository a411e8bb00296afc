from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest
from pointsman.wire.address import segment


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("gpt-4o", "gpt-4o"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4@20250514"),
        ("a/../b", "a%2F..%2Fb"),
        ("a?api-version=1#x", "a%3Fapi-version%3D1%23x"),
        ("a b\r\n;", "a%20b%0D%0A%3B"),
        ("%2e%2e", "%252e%252e"),
        ("é\ud800", "%C3%A9%3F"),
    ],
)
def test_a_name_stays_one_segment_of_the_path(name: str, written: str) -> None:
    assert segment(name) == written


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_no_encoding_can_hold_in_its_place_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        segment(name)
    assert caught.value.param == "model"
