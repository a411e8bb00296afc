"""What a request is written for."""

from __future__ import annotations

from pointsman.providers.translation import Terms


def test_what_is_lost_is_told_once_and_in_order() -> None:
    terms = Terms(model="m", lost=[])
    for name in ("seed", "n", "seed"):
        terms.lose(name)
    assert terms.lost == ["seed", "n"]


def test_two_requests_do_not_share_what_they_lose() -> None:
    Terms(model="m").lose("seed")
    assert Terms(model="m").lost == []
