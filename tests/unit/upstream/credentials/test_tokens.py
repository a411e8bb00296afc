from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.errors import UpstreamError, UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.credentials.tokens import MAX_FILE_BYTES, bearer_lines, is_file, read_file, token_lease


@pytest.mark.parametrize(
    ("stated", "expires_at"),
    [
        ({"expires_in": 3599}, 4599.0),
        ({"expires_in": "3599"}, 4599.0),
        ({"expires_on": "4600"}, 4600.0),
        ({"expires_on": 4600, "expires_in": 10}, 1010.0),
    ],
)
def test_a_token_holds_as_long_as_its_answer_says(stated: dict[str, object], expires_at: float) -> None:
    lease = token_lease({"access_token": "t", **stated}, "entra", 1000.0, (b"x-more", b"1"))
    assert lease.value == b"authorization: Bearer t\r\nx-more: 1\r\n"
    assert lease.expires_at == expires_at


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": "", "expires_in": 1},
        {"access_token": 3, "expires_in": 1},
        {"access_token": "t"},
        {"access_token": "t", "expires_in": True},
        {"access_token": "t", "expires_in": "soon"},
    ],
)
def test_an_answer_without_token_or_end_is_none(answer: dict[str, object]) -> None:
    with pytest.raises(UpstreamUnreachable):
        token_lease(answer, "entra", 0.0)


@pytest.mark.parametrize("token", ["a\r\nx: y", "é", "a\0"])
def test_a_token_cannot_add_headers(token: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        bearer_lines(token)
    assert token not in str(caught.value.operator_detail)


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    assert read_file(str(path)) == "one"
    path.write_text("two")
    assert read_file(str(path)) == "two"


def test_a_file_that_is_not_there_too_long_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("absent", "long", "binary"):
        with pytest.raises(UpstreamRejected):
            read_file(str(tmp_path / name))


def test_where_nobody_may_look_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    assert is_file(str(tmp_path / "token"))
    # Too long a name is refused by the system as a closed folder is, and for root too.
    for name in (".", "absent", "token/below", "x" * 300):
        assert not is_file(str(tmp_path / name))
