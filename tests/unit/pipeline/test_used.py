from __future__ import annotations

from pointsman.pipeline.used import Used
from pointsman.wire.usage import Usage


def test_what_attempts_have_used_is_added_up() -> None:
    used = Used()
    used.add(Usage(input_tokens=3, cached_input_tokens=1, output_tokens=5, reasoning_tokens=2), 11)
    used.add(Usage(input_tokens=4), 1)
    assert used == Used(7, 1, 5, 2, 12)
