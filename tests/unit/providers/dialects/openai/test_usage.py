from __future__ import annotations

import json

from pointsman.providers.dialects.openai.usage import write_usage
from pointsman.wire.usage import Usage, find_usage


def test_usage_without_details_has_those_that_clients_look_for() -> None:
    assert write_usage(Usage(input_tokens=3, output_tokens=2)) == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_what_was_written_reads_the_same() -> None:
    usage = Usage(
        input_tokens=100,
        output_tokens=50,
        total_tokens=150,
        cached_input_tokens=40,
        cache_write_tokens=30,
        reasoning_tokens=20,
        audio_input_tokens=5,
        audio_output_tokens=6,
        image_input_tokens=7,
        image_output_tokens=8,
    )
    assert find_usage(json.dumps({"usage": write_usage(usage)}).encode()) == usage
