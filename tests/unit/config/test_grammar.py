from __future__ import annotations

import pytest

from pointsman.config.grammar import SECTIONS, section_named
from pointsman.config.tables import Section


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
