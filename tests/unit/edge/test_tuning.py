from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pointsman.edge.tuning import YOUNG_OBJECTS, tune_process


@pytest.fixture(autouse=True)
def untuned() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_alive_is_not_traversed_again_and_garbage_is_collected_rarely() -> None:
    tune_process()

    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
