from __future__ import annotations

import pytest
from unit.mcp.auth.authorities import NOW

from pointsman.mcp.auth.tickets import MAX_LENGTH, Journey, Stale, Ticket, Tickets

TICKET = Ticket("far", "key:1", int(NOW) + 10, "read", None, "é")


def tickets(secret: bytes = b"secret", now: float = NOW) -> Tickets:
    return Tickets(secret, lambda: now)


def test_a_ticket_is_good_wherever_the_secret_is_known_until_it_ends() -> None:
    text = tickets().sign(TICKET)
    assert text.isascii()
    assert not set(text) & set(" ;,&=#?")
    assert tickets(now=NOW + 10).open(text, Ticket) == TICKET
    with pytest.raises(Stale, match="too old"):
        tickets(now=NOW + 11).open(text, Ticket)


@pytest.mark.requirement("mcp.sign-in")
def test_what_was_not_made_here_or_not_for_this_is_refused() -> None:
    text = tickets().sign(TICKET)
    body, _, signature = text.partition(".")
    forged = [
        body,
        "",
        ".",
        f"{body}.",
        f"{body}x.{signature}",
        f"{body}.{signature[:-1]}A",
        "é.é",
        "x" * MAX_LENGTH * 2,
    ]
    for one in forged:
        with pytest.raises(Stale, match="not made here"):
            tickets().open(one, Ticket)
    with pytest.raises(Stale, match="not made here"):
        tickets(b"other").open(text, Ticket)
    with pytest.raises(Stale, match="not made here"):
        # A link is no journey, although both are signed with the same key.
        tickets().open(text, Journey)


def test_a_secret_goes_with_each_state_and_is_the_same_everywhere() -> None:
    first = tickets().verifier("one")
    assert first == tickets(now=0).verifier("one")
    assert len({first, tickets().verifier("two"), tickets(b"other").verifier("one")}) == 3
    # RFC 7636, section 4.1
    assert 43 <= len(first) <= 128
