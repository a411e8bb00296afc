from __future__ import annotations

import os
import re
from pathlib import Path

import click
import platformdirs
import pytest

from pointsman.cli.state import KEY_FILE, admin_key, data_directory, used


def test_the_environment_names_the_data_directory() -> None:
    assert data_directory({"POINTSMAN_DATA_DIR": "/srv/gateway"}) == Path("/srv/gateway")
    assert data_directory({"POINTSMAN_DATA_DIR": "~/gateway"}) == Path.home() / "gateway"


@pytest.mark.parametrize("environ", [{}, {"POINTSMAN_DATA_DIR": ""}])
def test_without_one_it_is_the_platforms(environ: dict[str, str]) -> None:
    assert data_directory(environ) == platformdirs.user_data_path("pointsman", appauthor=False)


def test_a_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = admin_key(tmp_path / "new" / "data")
    finally:
        os.umask(old)
    assert made.is_new
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", made.secret.reveal())
    assert made.path == tmp_path / "new" / "data" / KEY_FILE
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.parent.stat().st_mode & 0o777 == 0o700

    found = admin_key(made.path.parent)
    assert not found.is_new
    assert (found.secret, found.path) == (made.secret, made.path)


def test_each_gateway_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert admin_key(tmp_path / "a").secret != admin_key(tmp_path / "b").secret


def test_a_key_that_the_operator_wrote_is_taken_without_the_space_around_it(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("  sk-mine\n\n")
    assert admin_key(tmp_path).secret.reveal() == "sk-mine"


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_key_file_is_said_and_lets_nobody_in(tmp_path: Path, text: str) -> None:
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(click.ClickException, match="holds no key: delete it and start again") as raised:
        admin_key(tmp_path)
    assert str(tmp_path / KEY_FILE) in raised.value.message


@pytest.mark.parametrize("inside", [".", "below"])
def test_a_data_directory_that_cannot_be_used_is_said_with_what_to_do(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("")
    directory = tmp_path / "file" / inside
    with pytest.raises(click.ClickException) as raised:
        admin_key(directory)
    assert raised.value.message.startswith(f"cannot keep the admin key in {directory}: ")
    assert "POINTSMAN_DATA_DIR" in raised.value.message
    assert "general_settings.master_key" in raised.value.message
    assert "[Errno" not in raised.value.message


def test_a_key_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(click.ClickException, match="cannot keep the admin key"):
        admin_key(tmp_path)


def test_a_key_does_not_show_itself(tmp_path: Path) -> None:
    key = admin_key(tmp_path)
    assert key.secret.reveal() not in f"{key}{key!r}"


def test_whoever_uses_a_directory_is_seen_by_those_who_begin_after_him(tmp_path: Path) -> None:
    with used(tmp_path) as first:
        assert first
        with used(tmp_path) as second:
            assert not second
            third = used(tmp_path)
            assert not third.__enter__()
        assert not third.__exit__(None, None, None)
    with used(tmp_path) as next_one:
        assert next_one


def test_a_directory_that_cannot_be_written_is_used_by_nobody_else_as_far_as_is_known(tmp_path: Path) -> None:
    with used(tmp_path / "nothing") as is_alone:
        assert is_alone
