from __future__ import annotations

import msgspec
import pytest

from pointsman.pipeline.cache import Answer
from pointsman.pipeline.shared_answers import SharedAnswers

ANSWER = Answer(b"content-type: application/json\r\n", b'{"a":"\xc3\xa4"}')


class Shelf:
    """A store that several hold."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, float]] = {}

    async def get(self, key: str) -> bytes | None:
        found = self.kept.get(key)
        return None if found is None else found[0]

    def put(self, key: str, value: bytes, seconds: float) -> None:
        self.kept[key] = (value, seconds)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.requirement("cache.redis")
async def test_what_one_has_kept_another_gives_to_the_byte(shelf: Shelf) -> None:
    one, other = SharedAnswers(shelf), SharedAnswers(shelf)
    assert await other.get("k", 100.0) is None
    one.put("k", ANSWER, 60.0, 100.0)
    assert await other.get("k", 101.0) == ANSWER
    assert shelf.kept["k"][1] == 60.0
    assert (one.hits, one.misses, other.hits, other.misses, other.bytes) == (0, 0, 1, 1, 0)


async def test_an_answer_that_is_too_old_for_one_caller_stays_for_others(shelf: Shelf) -> None:
    answers = SharedAnswers(shelf)
    answers.put("k", ANSWER, 60.0, 100.0)
    assert await answers.get("k", 105.1, max_age=5.0) is None
    assert await answers.get("k", 105.0, max_age=5.0) == ANSWER
    assert await answers.get("k", 99.0, max_age=0.0) == ANSWER


async def test_a_namespace_has_keys_of_its_own(shelf: Shelf) -> None:
    SharedAnswers(shelf, "n").put("k", ANSWER, 60.0, 100.0)
    assert list(shelf.kept) == ["n:k"]
    assert await SharedAnswers(shelf).get("k", 100.0) is None
    assert await SharedAnswers(shelf, "n").get("k", 100.0) == ANSWER


@pytest.mark.parametrize(
    "value", [b"", b"{}", msgspec.msgpack.encode([1.0, b"a"]), msgspec.msgpack.encode([1.0, b"a", b"b" * 99])[:-1]]
)
async def test_what_is_no_answer_is_as_if_it_were_not_there(shelf: Shelf, value: bytes) -> None:
    shelf.kept["k"] = (value, 60.0)
    answers = SharedAnswers(shelf)
    assert await answers.get("k", 100.0) is None
    assert answers.misses == 1
