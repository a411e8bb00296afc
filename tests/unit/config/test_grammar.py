from __future__ import annotations

import pytest

from pointsman.config.grammar import PARAMS, SECTIONS, Section, section_named


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_no_key_stands_twice_in_a_table(section: Section) -> None:
    names = section.names()
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_honoured_key_says_what_it_does(section: Section) -> None:
    assert [key.name for key in section.keys if key.standing == "honoured" and not key.about] == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_what_a_key_holds_is_a_table(section: Section) -> None:
    for key in section.keys:
        assert (key.section is None) == (key.holds is None)
        if key.section is not None:
            assert section_named(key.section).name == key.section


def test_an_exact_row_goes_before_a_family() -> None:
    honoured = PARAMS.find("input_cost_per_token")
    other = PARAMS.find("input_cost_per_video_per_second")
    assert honoured is not None
    assert honoured.standing == "honoured"
    assert other is not None
    assert other.standing == "pending"
    assert PARAMS.find("temperature") is None
