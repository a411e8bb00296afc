"""A provider's stream that is malformed ends in a clean failure, or in a complete answer."""

from __future__ import annotations

import pytest
from matrix.asked import CLIENTS, PROVIDERS
from matrix.malformed import COMPLETE, CUT, FAILED, MALFORMED, messages_of, outcome

WHOLE = 2**30


@pytest.mark.requirement("dialects.malformed-streams")
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", MALFORMED)
def test_it_ends_cleanly(kind: str, provider: str) -> None:
    streams, allowed = MALFORMED[kind]
    clients = 0
    for number, stream in enumerate(streams(provider)):
        client = CLIENTS[number % len(CLIENTS)]
        clients += 1
        assert outcome(stream, client, provider, WHOLE) in allowed, stream
    assert clients


@pytest.mark.requirement("dialects.malformed-streams")
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_that_is_cut_is_complete_only_after_its_end(provider: str, client: str) -> None:
    messages = messages_of(provider)
    came_of_it = [outcome(b"".join(messages[:n]), client, provider, WHOLE) for n in range(len(messages) + 1)]
    n_cut = came_of_it.index(COMPLETE)
    assert came_of_it[:n_cut] == [CUT] * n_cut
    assert n_cut >= len(messages) - 2
    assert set(came_of_it[n_cut:]) == {COMPLETE}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("size", [1, 13])
def test_pieces_of_any_size_make_the_same_reply(provider: str, client: str, size: int) -> None:
    stream = b"".join(messages_of(provider))
    assert outcome(stream, client, provider, size) == COMPLETE
    for n_bytes in range(0, len(stream), 401):
        assert outcome(stream[:n_bytes], client, provider, size) in (COMPLETE, CUT, FAILED)
