from __future__ import annotations

import pytest

from pointsman.pipeline.mcp_use.approvals import Pending, id_of, pending_of


@pytest.mark.parametrize("arguments", ["{}", '{"text": "\u00fc\u2713"}', '{"a": "x"}', '{"a": "xy"}'])
def test_the_id_of_a_request_for_approval_holds_the_call(arguments: str) -> None:
    pending = Pending("call_1", "depot__echo", arguments)
    assert pending_of(id_of(pending)) == pending
    assert id_of(pending).isascii()


@pytest.mark.parametrize("text", ["", "mcpr_", "mcpr_x", "mcpr_AAAA", "mcpr_\u00fc", "mcpr_W10", "fc_W10"])
def test_what_is_none_of_ours_is_nothing(text: str) -> None:
    assert pending_of(text) is None
