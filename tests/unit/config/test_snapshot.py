from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build

TEXT = """
model_list:
  - model_name: m
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/KEY}
general_settings: {master_key: sk-Confidential-master}
router_settings: {num_retries: 2, set_verbose: true}
"""


def test_the_same_document_has_the_same_hash_however_it_is_written(build: Build) -> None:
    one = build(TEXT, {"KEY": "a"}).good
    again = build(
        "# a comment\n"
        + TEXT.replace("{num_retries: 2, set_verbose: true}", "\n  set_verbose: true\n  num_retries: 2"),
        {"KEY": "a"},
    ).good
    assert one.hash == again.hash
    assert len(one.hash) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [("gpt-4o", "gpt-4"), ("num_retries: 2", "num_retries: 3"), ("master_key: sk", "master_key: pk")],
)
def test_any_change_of_the_document_is_another_hash(build: Build, old: str, new: str) -> None:
    assert build(TEXT, {"KEY": "a"}).good.hash != build(TEXT.replace(old, new), {"KEY": "a"}).good.hash


def test_what_the_environment_gives_is_part_of_the_hash(build: Build) -> None:
    base = build(TEXT, {"KEY": "a"}).good.hash
    assert build(TEXT, {"KEY": "b"}).good.hash != base
    assert build(TEXT, {"KEY": "a", "HTTPS_PROXY": "http://proxy:1"}).good.hash != base
    unnamed = TEXT.replace(", api_key: os.environ/KEY", "")
    assert build(unnamed, {"OPENAI_API_KEY": "a"}).good.hash != build(unnamed, {"OPENAI_API_KEY": "b"}).good.hash


def test_a_snapshot_is_immutable_and_does_not_print_secrets(build: Build) -> None:
    snapshot = build(TEXT, {"KEY": "sk-Confidential"}).good
    with pytest.raises(AttributeError):
        snapshot.number = 2  # type: ignore[misc]
    assert "Confidential" not in repr(snapshot)


def test_a_made_master_key_is_put_in_without_another_hash(build: Build) -> None:
    snapshot = build("general_settings: {master_key: auto}\n").good
    with_key = snapshot.with_master_key(Secret("sk-made"))
    assert with_key.access.master_key == Secret("sk-made")
    assert with_key.hash == snapshot.hash
    assert snapshot.access.master_key is None


def test_warnings_and_notices_come_along_and_errors_leave_no_snapshot(build: Build) -> None:
    built = build(TEXT, {"KEY": "a"})
    assert built.good.notices == built.problems
    assert [problem.path for problem in built.good.notices] == ["router_settings.set_verbose"]
    assert build(TEXT + "litellm_settings: 3\n", {"KEY": "a"}).snapshot is None


def test_a_snapshot_is_numbered(build: Build) -> None:
    assert build(TEXT, {"KEY": "a"}).good.number == 1
    assert msgspec.structs.replace(build(TEXT, {"KEY": "a"}).good, number=2).number == 2
