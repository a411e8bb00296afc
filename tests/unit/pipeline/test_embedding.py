from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from unit.pipeline.conftest import Clock, Rig

from pointsman.errors import UpstreamTimeout
from pointsman.ml.base import Floats
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.embedders.remote import Remote
from pointsman.pipeline.embedding import (
    FAILURES,
    OVERHEAD_BYTES,
    REST,
    WAITING,
    Embedding,
    Source,
    Thread,
    embedding_of,
)

REMOTE = Remote("house", 2)
VECTOR = np.array([[0.6, 0.8]], np.float32)
BODY = b'{"object":"list","model":"up-1","data":[{"object":"embedding","index":0,"embedding":[3,4]}],"usage":{}}'


class Scripted:
    """Gives a vector, or raises what it is told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.error: Exception | None = None

    async def __call__(self, text: str) -> Floats:
        self.texts.append(text)
        if self.error is not None:
            raise self.error
        return VECTOR


class Encoder:
    """Works as long as it is told to."""

    id = "onnx-1:2:x"
    dimension = 2
    is_quick = False

    def __init__(self) -> None:
        self.go = threading.Event()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.texts += texts
        if not self.go.wait(10):
            raise NoEmbedder("nobody said go", "say it")
        return np.repeat(VECTOR, len(texts), 0)


async def never(text: str) -> Floats:
    await asyncio.get_running_loop().create_future()
    return VECTOR


@pytest.fixture
def source() -> Scripted:
    return Scripted()


@pytest.fixture
def make() -> Callable[..., Embedding]:
    def embedding(source: Source, **more: float) -> Embedding:
        return Embedding(REMOTE, source, Clock(), **more)  # type: ignore[arg-type]

    return embedding


@pytest.mark.requirement("routing.embedders.gateway")
async def test_a_text_is_asked_for_once(make: Callable[..., Embedding], source: Scripted) -> None:
    embedding = make(source)
    for _ in range(3):
        found = await embedding.of("a prompt")
        assert found is not None
        assert np.array_equal(found, VECTOR)
    assert source.texts == ["a prompt"]
    assert (embedding.asked, embedding.hits, embedding.failed) == (1, 2, 0)


async def test_requests_for_the_same_text_at_the_same_time_ask_once(make: Callable[..., Embedding]) -> None:
    asked, go = [], asyncio.Event()

    async def slow(text: str) -> Floats:
        asked.append(text)
        await go.wait()
        return VECTOR

    embedding = make(slow, timeout=60)
    waiting = [asyncio.ensure_future(embedding.of(text)) for text in ("same", "same", "other", "same")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert asked == ["same", "other"]
    go.set()
    assert [found is not None for found in await asyncio.gather(*waiting)] == [True] * 4
    assert embedding.asked == 2


async def test_when_whoever_asked_for_all_leaves_the_others_go_on_without(make: Callable[..., Embedding]) -> None:
    embedding = make(never, timeout=60)
    first, second = (asyncio.ensure_future(embedding.of("same")) for _ in range(2))
    for _ in range(5):
        await asyncio.sleep(0)
    first.cancel()
    assert await second is None
    assert first.cancelled()


async def test_nobody_waits_longer_for_what_another_one_has_asked_for(make: Callable[..., Embedding]) -> None:
    embedding = make(never, timeout=0.001)
    assert [*await asyncio.gather(embedding.of("same"), embedding.of("same"))] == [None, None]


async def test_what_was_used_last_is_kept_within_the_bound(make: Callable[..., Embedding], source: Scripted) -> None:
    embedding = make(source, max_bytes=2 * (8 + OVERHEAD_BYTES))
    for text in ("a", "b", "a", "c", "a", "b"):
        await embedding.of(text)
    assert source.texts == ["a", "b", "c", "b"]


async def test_a_text_with_nothing_in_it_is_not_asked_for(make: Callable[..., Embedding], source: Scripted) -> None:
    found = await make(source).of(" \n")
    assert found is not None
    assert found.shape == (1, 2)
    assert not found.any()
    assert source.texts == []


@pytest.mark.requirement("routing.embedders.gateway")
async def test_what_comes_too_late_is_nothing(make: Callable[..., Embedding]) -> None:
    embedding = make(never, timeout=0.0)
    assert await embedding.of("a prompt") is None
    assert embedding.failed == 1


@pytest.mark.parametrize("error", [UpstreamTimeout(), NoEmbedder("no vectors", "check"), TimeoutError()])
async def test_a_failure_is_nothing_and_is_not_kept(
    make: Callable[..., Embedding], source: Scripted, error: Exception
) -> None:
    embedding = make(source)
    source.error = error
    assert await embedding.of("a prompt") is None
    source.error = None
    assert await embedding.of("a prompt") is not None


@pytest.mark.requirement("routing.embedders.gateway")
async def test_after_failures_in_a_row_nobody_is_asked_for_a_while(
    source: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    embedding = Embedding(REMOTE, source, clock)
    await embedding.of("known")
    source.error = NoEmbedder("no vectors", "check")
    with caplog.at_level(logging.WARNING):
        for i in range(9):
            assert await embedding.of(f"new {i}") is None
    assert len(source.texts) == 1 + FAILURES
    assert [record.message for record in caplog.records] == [
        "prompts are routed without gateway-1:2:house for a while: no vectors (check)"
    ]
    assert embedding.status() == {
        "embedder": REMOTE.id, "hits": 0, "asked": 1 + FAILURES, "failed": FAILURES, "is_resting": True,
    }  # fmt: skip
    assert await embedding.of("known") is not None
    clock.now += REST
    source.error = None
    assert await embedding.of("new") is not None


async def test_whoever_leaves_is_not_a_failure(make: Callable[..., Embedding]) -> None:
    embedding = make(never)
    waiting = asyncio.ensure_future(embedding.of("a prompt"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert embedding.failed == 0


async def test_an_encoder_works_beside_the_loop() -> None:
    encoder = Encoder()
    thread = Thread(encoder)
    waiting = asyncio.ensure_future(thread("a"))
    await asyncio.sleep(0)
    assert not waiting.done()
    encoder.go.set()
    assert np.array_equal(await waiting, VECTOR)
    thread.close()


async def test_no_more_wait_for_an_encoder_than_may() -> None:
    encoder = Encoder()
    thread = Thread(encoder)
    waiting = [asyncio.ensure_future(thread(str(i))) for i in range(WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await thread("one more")
    encoder.go.set()
    await asyncio.gather(*waiting)
    assert np.array_equal(await thread("again"), VECTOR)
    thread.close()


async def test_what_nobody_waits_for_is_not_encoded() -> None:
    encoder = Encoder()
    thread = Thread(encoder)
    first, second = (asyncio.ensure_future(thread(text)) for text in "ab")
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    encoder.go.set()
    await first
    await thread("c")
    assert encoder.texts == ["a", "c"]
    thread.close()


def test_what_is_quick_is_not_waited_for(rig: Rig) -> None:
    assert embedding_of(Hashed.trained(["a"], dimension=2), rig.pipeline, rig.clock) is None


@pytest.mark.requirement("routing.embedders.gateway")
async def test_a_model_of_the_gateway_is_asked_as_a_client_would(rig: Rig) -> None:
    rig.upstream.script(BODY)
    embedding = embedding_of(REMOTE, rig.pipeline, rig.clock)
    assert embedding is not None
    found = await embedding.of("a prompt")
    assert found is not None
    np.testing.assert_allclose(found, VECTOR)
    assert json.loads(rig.sent.body) == {"model": "up-1", "input": ["a prompt"], "encoding_format": "float"}
    # It is counted for the deployment, and is no request of a client.
    assert (rig.meter.successes, rig.meter.statuses) == (1, {})


async def test_a_model_that_fails_or_gives_something_else_is_nothing(rig: Rig) -> None:
    embedding = embedding_of(REMOTE, rig.pipeline, rig.clock)
    assert embedding is not None
    rig.upstream.once(b'{"error":{"message":"down"}}', status=500)
    assert await embedding.of("a prompt") is None
    rig.upstream.once(BODY.replace(b"[3,4]", b"[3,4,5]"))
    assert await embedding.of("a prompt") is None
    assert embedding.failed == 2


async def test_a_model_that_nobody_has_configured_is_nothing(rig: Rig) -> None:
    embedding = embedding_of(Remote("unknown", 2), rig.pipeline, rig.clock)
    assert embedding is not None
    assert await embedding.of("a prompt") is None


async def test_a_model_that_hangs_is_let_go(rig: Rig) -> None:
    rig.upstream.script(BODY, is_held=True)
    source = embedding_of(REMOTE, rig.pipeline, rig.clock)
    assert source is not None
    embedding = Embedding(REMOTE, source._source, rig.clock, timeout=0.0)
    assert await embedding.of("a prompt") is None
    assert rig.busy == 0
