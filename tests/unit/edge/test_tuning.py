from __future__ import annotations

import gc

import pytest

from pointsman.edge.tuning import YOUNG_OBJECTS, tune_process


@pytest.mark.usefixtures("untuned")
def test_what_is_alive_is_not_traversed_again_and_garbage_is_collected_rarely() -> None:
    tune_process()

    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
