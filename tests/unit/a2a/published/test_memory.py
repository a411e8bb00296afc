from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.published import memory as module
from pointsman.a2a.published.memory import Memory
from pointsman.a2a.published.runs import Run, Said
from pointsman.errors import Overloaded


def said(size: int) -> Said:
    return Said({"role": "user", "content": "x"}, size)


def run(name: str, *turns: Said, answer: str = "", is_over: bool = True) -> Run:
    message: dict[str, Any] = {}
    made = Run(name, "c", message, lambda: 0.0, 1_000)
    made.turns = turns
    made.add(answer)
    if is_over:
        made.end("completed")
    return made


def kept(memory: Memory) -> list[str]:
    return list(memory._runs)


def test_the_oldest_that_are_over_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RUNS", 2)
    memory = Memory()
    for one in (run("1", is_over=False), run("2"), run("3")):
        memory.add(one)
    assert kept(memory) == ["1", "3"]
    assert memory.get("2") is None


@pytest.mark.requirement("a2a.published-models")
def test_what_was_asked_is_counted_with_what_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    memory = Memory()
    memory.add(run("1", said(40), answer="x" * 10))
    memory.add(run("2", said(50)))
    assert kept(memory) == ["1", "2"]
    memory.add(run("3", said(1)))
    assert kept(memory) == ["2", "3"]


def test_turns_that_many_have_in_common_are_counted_once_and_as_long_as_one_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    memory, first = Memory(), said(90)
    memory.add(run("1", first))
    memory.add(run("2", first, said(5)))
    assert kept(memory) == ["1", "2"]
    memory.add(run("3", said(6)))
    assert kept(memory) == ["3"]


def test_where_what_goes_on_leaves_no_room_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    memory = Memory()
    memory.add(run("1", said(60), is_over=False))
    with pytest.raises(Overloaded):
        memory.add(run("2", said(60), is_over=False))
    assert kept(memory) == ["1"]
    memory.add(run("3", said(40), is_over=False))
    assert len(memory) == 2


def test_what_is_forgotten_already_can_be_forgotten_again() -> None:
    memory, one = Memory(), run("1", said(1))
    memory.add(one)
    memory.forget(one)
    memory.forget(one)
    assert (len(memory), memory._size) == (0, 0)


def test_what_goes_on_can_be_stopped() -> None:
    memory, one, over = Memory(), run("1", is_over=False), run("2")
    memory.add(one)
    memory.add(over)
    assert memory.stop() == []
    assert (one.state, over.state) == ("canceled", "completed")
