from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest, UpstreamTimeout
from pointsman.telemetry.meters import CLIENT_LEFT


def test_a_call_counts_as_left_until_it_has_an_answer(rig: Any) -> None:
    call = rig.call()
    assert (call.status, call.failure) == (CLIENT_LEFT, None)


@pytest.mark.parametrize(("error", "is_fault"), [(UpstreamTimeout(), True), (InvalidRequest(), False)])
def test_an_error_before_the_reply_gives_the_call_its_status(rig: Any, error: Any, is_fault: bool) -> None:
    call = rig.call()
    call.note(error)
    assert (call.status, call.failure, call.is_deployments_fault) == (error.status, type(error).__name__, is_fault)


def test_an_error_after_the_replys_head_leaves_the_status(rig: Any) -> None:
    call = rig.call()
    call.status = 200
    call.downstream.start(200, b"")
    call.note(UpstreamTimeout())
    assert (call.status, call.failure) == (200, "UpstreamTimeout")
