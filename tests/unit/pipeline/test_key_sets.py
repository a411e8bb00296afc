from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tokens import ISSUER, Issuer

from pointsman.access.tokens import head_of
from pointsman.errors import Overloaded, Unauthenticated, UpstreamUnreachable
from pointsman.pipeline import key_sets
from pointsman.pipeline.key_sets import FIRST_PAUSE, GRACE, PAUSE, KeySets
from pointsman.telemetry.tasks import Tasks

URL, OTHER = "https://idp.test/keys", "https://other.test/keys"
SECONDS = 600.0
CLAIMS = {"sub": "ada"}


class Web:
    """Gives documents by address when it is let."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.asked: list[str] = []
        self.time = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, url: str) -> Any:
        self.asked.append(url)
        await self.gate.wait()
        if url not in self.documents:
            raise UpstreamUnreachable(operator_detail="nobody is there")
        return self.documents[url]


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks(logging.getLogger("tests"), 10)
    yield made
    await made.close(1.0)


@pytest.fixture
def web() -> Web:
    return Web()


Make = Callable[..., KeySets]


@pytest.fixture
def make(web: Web, tasks: Tasks) -> Make:
    return lambda *urls: KeySets(urls or (URL,), web.ask, tasks, seconds=SECONDS, clock=lambda: web.time)


async def verified(keys: KeySets, token: str) -> Any:
    return await keys.verified(token.encode(), head_of(token.encode()))


@pytest.mark.requirement("access.token-keys")
async def test_keys_are_asked_for_once_by_all_who_come_together(web: Web, make: Make) -> None:
    issuer, keys = Issuer(), make()
    web.documents[URL] = issuer.jwks()
    web.gate.clear()
    waiting = [asyncio.ensure_future(verified(keys, issuer.sign(CLAIMS))) for _ in range(5)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    web.gate.set()
    assert await asyncio.gather(*waiting) == [(CLAIMS, None)] * 4
    await verified(keys, issuer.sign(CLAIMS))
    assert web.asked == [URL]


async def test_a_question_that_takes_long_is_not_asked_a_second_time(web: Web, make: Make) -> None:
    issuer, keys = Issuer("ES256"), make()
    web.documents[URL] = issuer.jwks()
    web.gate.clear()
    waiting = [asyncio.ensure_future(verified(keys, issuer.sign(CLAIMS)))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    web.time += FIRST_PAUSE
    waiting.append(asyncio.ensure_future(verified(keys, issuer.sign(CLAIMS))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    web.gate.set()
    await asyncio.gather(*waiting)
    assert web.asked == [URL]


@pytest.mark.requirement("access.token-keys")
async def test_a_key_that_nobody_knows_has_keys_asked_for_again_at_most_every_half_minute(web: Web, make: Make) -> None:
    old, new, keys = Issuer("ES256"), Issuer("ES384"), make()
    web.documents[URL] = old.jwks()
    await verified(keys, old.sign(CLAIMS))
    web.documents[URL] = new.jwks()
    web.time += PAUSE - 1
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="key that nobody here knows"):
            await verified(keys, new.sign(CLAIMS))
    assert len(web.asked) == 1
    web.time += 1
    assert (await verified(keys, new.sign(CLAIMS)))[0] == CLAIMS
    assert len(web.asked) == 2
    with pytest.raises(Unauthenticated, match="nobody here knows"):
        await verified(keys, old.sign(CLAIMS))
    assert len(web.asked) == 2


@pytest.mark.requirement("access.token-keys")
async def test_a_signature_that_does_not_fit_asks_nobody(web: Web, make: Make) -> None:
    issuer, keys = Issuer("ES256"), make()
    web.documents[URL] = issuer.jwks()
    token = issuer.sign(CLAIMS).rpartition(".")[0] + "." + issuer.sign({"sub": "eve"}).rpartition(".")[2]
    with pytest.raises(Unauthenticated, match="signature that does not fit"):
        await verified(keys, token)
    web.time += PAUSE
    with pytest.raises(Unauthenticated):
        await verified(keys, token)
    assert len(web.asked) == 1


async def test_old_keys_are_fetched_anew_beside_the_request(web: Web, make: Make) -> None:
    issuer, keys = Issuer("ES256"), make()
    web.documents[URL] = issuer.jwks()
    await verified(keys, issuer.sign(CLAIMS))
    web.gate.clear()
    web.time += SECONDS
    assert (await verified(keys, issuer.sign(CLAIMS)))[0] == CLAIMS
    await asyncio.sleep(0)
    assert len(web.asked) == 2
    web.gate.set()


@pytest.mark.requirement("access.token-keys")
async def test_while_nobody_answers_keys_go_on_for_a_while(
    web: Web, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    issuer, keys = Issuer("ES256"), make()
    web.documents[URL] = issuer.jwks()
    await verified(keys, issuer.sign(CLAIMS))
    del web.documents[URL]
    for _ in range(3):
        web.time += SECONDS
        assert (await verified(keys, issuer.sign(CLAIMS)))[0] == CLAIMS
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert caplog.text.count("cannot be had: nobody is there") == 1
    web.time += GRACE
    with pytest.raises(Overloaded) as caught:
        await verified(keys, issuer.sign(CLAIMS))
    assert (caught.value.status, caught.value.code) == (503, "token_keys_unavailable")
    web.documents[URL] = issuer.jwks()
    web.time += FIRST_PAUSE
    assert (await verified(keys, issuer.sign(CLAIMS)))[0] == CLAIMS
    assert caplog.text.count("are there again") == 1


async def test_before_there_are_any_keys_nobody_can_say_that_a_token_is_bad(web: Web, make: Make) -> None:
    keys = make()
    for _ in range(3):
        with pytest.raises(Overloaded):
            await verified(keys, Issuer("ES256").sign(CLAIMS))
    assert len(web.asked) == 1
    web.documents[URL] = {"keys": []}
    web.time += FIRST_PAUSE
    with pytest.raises(Overloaded):
        await verified(keys, Issuer("ES256").sign(CLAIMS))
    assert len(web.asked) == 2


async def test_a_request_does_not_wait_for_ever(web: Web, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "PATIENCE", 0.001)
    web.gate.clear()
    with pytest.raises(Overloaded):
        await verified(make(), Issuer("ES256").sign(CLAIMS))
    web.gate.set()


async def test_of_several_providers_any_may_have_signed_it_also_while_another_is_away(web: Web, make: Make) -> None:
    issuer, keys = Issuer("ES256"), make(URL, OTHER)
    web.documents[OTHER] = issuer.jwks()
    assert (await verified(keys, issuer.sign(CLAIMS)))[0] == CLAIMS
    with pytest.raises(Overloaded):
        await verified(keys, Issuer("ES384").sign(CLAIMS))


@pytest.mark.requirement("access.token-keys")
async def test_an_openid_configuration_names_the_keys_and_whose_they_are(web: Web, make: Make) -> None:
    issuer, keys = Issuer("ES256"), make()
    web.documents |= {URL: {"issuer": ISSUER, "jwks_uri": OTHER}, OTHER: issuer.jwks()}
    assert await verified(keys, issuer.sign(CLAIMS)) == (CLAIMS, ISSUER)
    assert web.asked == [URL, OTHER]


async def test_an_openid_configuration_cannot_leave_tls(web: Web, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    web.documents |= {URL: {"jwks_uri": "http://other.test/keys"}, "http://other.test/keys": Issuer("ES256").jwks()}
    with pytest.raises(Overloaded):
        await verified(make(), Issuer("ES256").sign(CLAIMS))
    assert web.asked == [URL]
    assert "not https" in caplog.text


async def test_a_provider_that_does_not_answer_holds_up_no_tokens_of_others(web: Web, make: Make) -> None:
    issuer, keys = Issuer("ES256"), make(URL, OTHER)
    web.documents[URL] = issuer.jwks()
    await verified(keys, issuer.sign(CLAIMS))
    web.time += FIRST_PAUSE
    web.gate.clear()
    async with asyncio.timeout(1):
        assert (await verified(keys, issuer.sign(CLAIMS)))[0] == CLAIMS
    await asyncio.sleep(0)
    assert web.asked == [URL, OTHER, OTHER]
    web.gate.set()
