from __future__ import annotations

import msgspec
import pytest

from pointsman.providers.dialects.gemini.usages import read_usage, write_usage
from pointsman.wire.usage import Usage


@pytest.mark.parametrize(
    "raw",
    [b"null", b"[]", b"{}", b'{"trafficType":"ON_DEMAND"}', b'{"promptTokenCount":-1}', b'{"promptTokenCount":"1"}'],
)
def test_usage_that_says_nothing_is_none(raw: bytes) -> None:
    assert read_usage(msgspec.Raw(raw)) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=10, output_tokens=5, total_tokens=15),
        Usage(input_tokens=10, output_tokens=5, total_tokens=15, cached_input_tokens=9, reasoning_tokens=4),
        Usage(
            input_tokens=10,
            output_tokens=50,
            total_tokens=60,
            audio_input_tokens=3,
            image_input_tokens=4,
            audio_output_tokens=20,
            image_output_tokens=30,
        ),
    ],
)
def test_what_is_written_is_read_as_the_same(usage: Usage) -> None:
    assert read_usage(msgspec.Raw(msgspec.json.encode(write_usage(usage)))) == usage


def test_a_total_that_is_not_said_is_the_sum() -> None:
    usage = read_usage(msgspec.Raw(b'{"promptTokenCount":2,"candidatesTokenCount":3,"thoughtsTokenCount":4}'))
    assert usage == Usage(input_tokens=2, output_tokens=7, total_tokens=9, reasoning_tokens=4)
