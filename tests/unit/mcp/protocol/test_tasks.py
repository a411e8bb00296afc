from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.mcp.protocol.tasks import Seals, parted, placed


@given(st.text(), st.text(), st.text())
def test_a_task_is_known_again_to_whom_it_was_given(task: str, server: str, caller: str) -> None:
    told = Seals(b"secret").sealed(task, server, caller)
    assert Seals(b"secret").opened(told, server, caller) == task
    assert Seals(b"secret").opened(told, server, caller + "x") is None
    assert Seals(b"secret").opened(told, server + "x", caller) is None
    assert Seals(b"other").opened(told, server, caller) is None


@pytest.mark.requirement("mcp.isolation")
@pytest.mark.parametrize("told", ["", "7", "7~", "~", "8~{}", "7~{}0", "7~é"])
def test_what_was_not_given_is_not_known(told: str) -> None:
    seal = Seals(b"secret").sealed("7", "a", "k").partition("~")[2]
    assert Seals(b"secret").opened(told.format(seal), "a", "k") is None


def test_the_server_is_told_from_the_rest() -> None:
    assert placed("x:y", "a") == "a:x:y"
    assert parted("a:x:y") == ("a", "x:y")
    assert parted("x") == ("x", "")
