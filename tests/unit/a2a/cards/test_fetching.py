from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from unit.a2a.cards.pretending import Site, card_of

from pointsman.a2a.cards.fetching import MAX_BYTES, MAX_DEPTH, MAX_INTERFACES, Fetcher, NoCard, candidates
from pointsman.a2a.settings import AgentSettings
from pointsman.errors import UpstreamRejected

URL = "https://agent.example/a/b"
HERE = f"{URL}/.well-known/agent-card.json"
ROOT = "https://agent.example/.well-known/agent-card.json"
AGENT = AgentSettings(id="a", name="A", url=URL)


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = [value]
    return value


async def shown(_settings: AgentSettings) -> Mapping[str, str]:
    return {"authorization": "Bearer canary"}


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def fetcher(site: Site) -> Fetcher:
    return Fetcher(lambda _: site, shown)


def test_a_card_is_looked_for_below_the_agent_first_and_then_at_the_root_of_its_host() -> None:
    assert candidates(AGENT) == (
        HERE,
        ROOT,
        f"{URL}/.well-known/agent.json",
        "https://agent.example/.well-known/agent.json",
    )
    with_query = AgentSettings(id="a", name="A", url="http://agent:8080/?assistant_id=1")
    assert candidates(with_query) == (
        "http://agent:8080/.well-known/agent-card.json?assistant_id=1",
        "http://agent:8080/.well-known/agent.json?assistant_id=1",
    )
    assert candidates(AgentSettings(id="a", name="A", url=URL, card_url=ROOT)) == (ROOT,)


@pytest.mark.requirement("a2a.leaks")
async def test_nothing_of_an_address_is_told_to_everybody_and_no_query_to_anybody(site: Site, fetcher: Fetcher) -> None:
    for settings, places in (
        (AgentSettings(id="a", name="A", url=f"{URL}?code=canary"), ["/.well-known/agent-card.json"]),
        (AgentSettings(id="a", name="A", url=URL, card_url="https://agent.example/canary?x=canary"), ["card_url"]),
    ):
        site.away = {"agent.example"}
        with pytest.raises(NoCard) as error:
            await fetcher.fetch(settings)
        assert error.value.plain == "; ".join(f"{place}: no answer" for place in places)
        assert "=canary" not in str(error.value)


@pytest.mark.requirement("a2a.cards")
@pytest.mark.parametrize("place", candidates(AGENT))
async def test_a_card_is_found_wherever_agents_have_it(site: Site, fetcher: Fetcher, place: str) -> None:
    site.put(place, card_of(URL))
    page = await fetcher.fetch(AGENT)
    assert page.url == place
    assert page.document == card_of(URL)
    assert site.asked == list(candidates(AGENT)[: candidates(AGENT).index(place) + 1])


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Sign in</title>",
        b"[]",
        b'{"name": "x"',
        b'{"detail": "not found"}',
        b'{"name": 1, "skills": []}',
        b'{"name": "x"}',
        b"\xff",
        b"[" * 100_000,
        msgspec.json.encode(card_of(URL, x=nested(MAX_DEPTH))),
        msgspec.json.encode(card_of(URL, x="y" * MAX_BYTES)),
        msgspec.json.encode(card_of(URL, supportedInterfaces=[{}] * (MAX_INTERFACES + 1))),
    ],
)
async def test_a_page_that_is_no_card_is_passed_over(site: Site, fetcher: Fetcher, body: bytes) -> None:
    site.put(HERE, body)
    site.put(ROOT, card_of(URL))
    assert (await fetcher.fetch(AGENT)).url == ROOT


async def test_a_card_has_as_many_levels_as_it_may(site: Site, fetcher: Fetcher) -> None:
    site.put(HERE, card_of(URL, x=nested(MAX_DEPTH - 1)))
    assert (await fetcher.fetch(AGENT)).url == HERE


async def test_a_known_card_is_only_fetched_again_when_it_has_changed(site: Site, fetcher: Fetcher) -> None:
    headers = {"etag": '"1"', "last-modified": "Sun", "cache-control": "public, max-age=60"}
    site.put(ROOT, card_of(URL), headers)
    first = await fetcher.fetch(AGENT)
    assert (first.etag, first.modified, first.seconds) == ('"1"', "Sun", 60.0)
    site.asked.clear()
    site.put(ROOT, b"", {"cache-control": "max-age=90"}, status=304)
    again = await fetcher.fetch(AGENT, first)
    assert again.document == first.document
    assert again.seconds == 90.0
    assert site.asked == [ROOT]
    assert site.headers[-1] == {"authorization": "Bearer canary", "if-none-match": '"1"', "if-modified-since": "Sun"}


async def test_a_card_that_has_moved_is_looked_for_again(site: Site, fetcher: Fetcher) -> None:
    site.put(ROOT, card_of(URL), {"etag": '"1"'})
    first = await fetcher.fetch(AGENT)
    del site.pages[ROOT]
    site.put(HERE, card_of(URL))
    assert (await fetcher.fetch(AGENT, first)).url == HERE
    assert "if-none-match" not in site.headers[-1]


@pytest.mark.requirement("a2a.credentials")
async def test_only_the_registered_origin_is_shown_the_credential(site: Site, fetcher: Fetcher) -> None:
    elsewhere = AgentSettings(id="a", name="A", url=URL, card_url="https://cards.example/a.json")
    site.put("https://cards.example/a.json", card_of(URL))
    await fetcher.fetch(elsewhere)
    assert site.headers == [{}]


async def test_an_agent_without_a_credential_is_asked_without_one(site: Site) -> None:
    async def refused(_settings: AgentSettings) -> Mapping[str, str]:
        raise UpstreamRejected(status=401, kind="authentication_error")

    site.put(HERE, card_of(URL))
    await Fetcher(lambda _: site, refused).fetch(AGENT)
    assert site.headers == [{}]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/cards/a.json", ["https://agent.example/cards/a.json"]),
        ("https://agent.example:443/cards/a.json", ["https://agent.example:443/cards/a.json"]),
        ("https://other.example/cards/a.json", []),
        ("http://agent.example/cards/a.json", []),
        ("", []),
        ("ftp://x", []),
        ("http://[", []),
    ],
)
async def test_a_card_elsewhere_is_fetched_from_the_same_origin_only(
    site: Site, fetcher: Fetcher, location: str, asked: list[str]
) -> None:
    site.put(HERE, b"", {"location": location}, status=307)
    site.put("https://agent.example/cards/a.json", card_of(URL))
    site.put("https://agent.example:443/cards/a.json", card_of(URL))
    site.put(ROOT, card_of(URL))
    await fetcher.fetch(AGENT)
    assert site.asked == [HERE, *(asked or [ROOT])]


async def test_an_agent_that_cannot_be_reached_is_not_asked_at_its_other_places(site: Site, fetcher: Fetcher) -> None:
    site.away = {"agent.example"}
    with pytest.raises(NoCard, match="no route") as error:
        await fetcher.fetch(AGENT)
    assert not error.value.is_there
    assert site.asked == [HERE]


async def test_a_card_is_found_at_a_replica_that_is_there_and_it_is_shown_the_credential_too(
    site: Site, fetcher: Fetcher
) -> None:
    several = AgentSettings(id="a", name="A", url=URL, replicas=("http://second:1", "http://third:1/x"))
    site.away = {"agent.example", "second"}
    site.put("http://third:1/x/.well-known/agent-card.json", card_of(URL))
    assert (await fetcher.fetch(several)).url == "http://third:1/x/.well-known/agent-card.json"
    assert len(site.asked) == 3
    assert site.headers[-1] == {"authorization": "Bearer canary"}


async def test_an_agent_is_there_as_long_as_one_of_its_replicas_is(site: Site, fetcher: Fetcher) -> None:
    several = AgentSettings(id="a", name="A", url=URL, replicas=("http://second:1",))
    site.away = {"agent.example"}
    with pytest.raises(NoCard) as error:
        await fetcher.fetch(several)
    assert error.value.is_there


@pytest.mark.parametrize(("status", "is_there"), [(404, True), (401, True), (503, False)])
async def test_whether_an_agent_is_there_is_another_thing_than_whether_it_has_a_card(
    site: Site, fetcher: Fetcher, status: int, is_there: bool
) -> None:
    for place in candidates(AGENT):
        site.put(place, b"{}", status=status)
    with pytest.raises(NoCard, match=f"status {status}") as error:
        await fetcher.fetch(AGENT)
    assert error.value.is_there is is_there
    assert "agent.example" not in str(error.value)


async def test_an_agent_that_is_broken_behind_a_host_that_is_not_is_not_there(site: Site, fetcher: Fetcher) -> None:
    site.put(HERE, b"", status=503)
    with pytest.raises(NoCard) as error:
        await fetcher.fetch(AGENT)
    assert not error.value.is_there
    site.put(ROOT, card_of(URL))
    assert (await fetcher.fetch(AGENT)).url == ROOT


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("max-age=5", 5.0), ("no-cache", None), ('public,MAX-AGE="7"', 7.0), ("s-max-age=3", None), ("max-age=x", None)],
)
async def test_a_card_says_how_long_it_is_good(site: Site, fetcher: Fetcher, told: str, seconds: Any) -> None:
    site.put(HERE, card_of(URL), {"cache-control": told})
    assert (await fetcher.fetch(AGENT)).seconds == seconds
