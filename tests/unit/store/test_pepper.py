from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointsman.store.pepper import FILE, NoPepper, pepper

GIVEN = "a-salt-that-somebody-has-made-up"


@pytest.mark.parametrize("name", ["POINTSMAN_SALT_KEY", "LITELLM_SALT_KEY"])
def test_what_the_environment_says_goes_first_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    assert pepper({name: GIVEN}, tmp_path) == GIVEN.encode()
    assert list(tmp_path.iterdir()) == []


def test_one_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    first = pepper({}, directory)
    assert len(first) >= 43
    assert pepper({}, directory) == first
    assert stat.S_IMODE((directory / FILE).stat().st_mode) == 0o600
    assert [one.name for one in directory.iterdir()] == [FILE]


def test_those_who_begin_at_once_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: pepper({}, tmp_path), range(8)))) == 1


def test_where_it_cannot_be_shared_or_kept_somebody_has_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(NoPepper, match="POINTSMAN_SALT_KEY"):
        pepper({}, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(NoPepper, match="POINTSMAN_SALT_KEY"):
        pepper({}, tmp_path / "file")


def test_one_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoPepper, match="too short"):
        pepper({"POINTSMAN_SALT_KEY": "salt"}, tmp_path)
    (tmp_path / FILE).write_text("\n")
    with pytest.raises(NoPepper, match="holds no salt key"):
        pepper({}, tmp_path)
