from __future__ import annotations

from pointsman.pipeline.mcp_use.chains import MOST, Chains


def test_a_response_is_known_by_where_it_has_ended() -> None:
    chains = Chains()
    chains.note("resp_1", "resp_3")
    chains.note("resp_4", "resp_4")
    assert [chains.end_of(one) for one in ("resp_1", "resp_3", "resp_4")] == ["resp_3", "resp_3", "resp_4"]


def test_only_the_latest_are_remembered() -> None:
    chains = Chains()
    for number in range(MOST + 1):
        chains.note(f"first_{number}", f"last_{number}")
    assert chains.end_of("first_0") == "first_0"
    assert chains.end_of("first_1") == "last_1"
    assert chains.end_of(f"first_{MOST}") == f"last_{MOST}"
