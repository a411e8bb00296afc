from __future__ import annotations

from pointsman.config.entries import PARAMS
from pointsman.config.kinds import TEXT
from pointsman.config.tables import Section, as_section, pending_rows, row


def test_an_exact_row_goes_before_a_family() -> None:
    honoured = PARAMS.find("input_cost_per_token")
    other = PARAMS.find("input_cost_per_video_per_second")
    assert honoured is not None
    assert honoured.standing == "honoured"
    assert other is not None
    assert other.standing == "pending"
    assert PARAMS.find("temperature") is None


def test_a_row_is_acted_on_and_a_pending_one_is_not() -> None:
    section = Section(name="s", about="", keys=(row("a", TEXT, "A.", is_required=True), *pending_rows(("b", "c"))))
    assert section.names() == ("a", "b", "c")
    assert [key.standing for key in section.keys] == ["honoured", "pending", "pending"]
    assert section.keys[0].is_required
    assert section.find("d") is None


def test_a_section_is_referred_to_by_its_definition() -> None:
    assert as_section("hedging") == {"$ref": "#/definitions/hedging"}
