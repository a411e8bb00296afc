from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from unit.ml.embedders.files import write_static

from pointsman.cli.embedding import AT_ONCE, PAUSES, Asking, embedder_for
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.remote import Remote


class Gateway(http.server.ThreadingHTTPServer):
    """Answers with the length of each text and 1, after what it is told to say first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.heads: list[tuple[str, str | None]] = []
        self.statuses: list[int] = []
        self.vector: list[float] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        self.server.heads.append((self.path, self.headers["authorization"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        vectors = [self.server.vector or [float(len(text)), 1.0] for text in asked["input"]]
        data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        body = json.dumps({"data": data}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Pauses:
    """Waits for nothing, and remembers for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_other_embedders_are_found_by_their_names(tmp_path: Path) -> None:
    assert embedder_for(None) is None
    assert embedder_for("hashed") is None
    found = embedder_for(f"static:{write_static(tmp_path)}")
    assert found is not None
    assert found.dimension == 6
    with pytest.raises(click.ClickException, match="static:DIRECTORY"):
        embedder_for("nothing")


@pytest.mark.requirement("routing.embedders.gateway")
def test_a_model_of_the_gateway_is_asked_over_http(gateway: Gateway) -> None:
    embedder = embedder_for("gateway:org/small:2", gateway.address, "sk-key")
    assert isinstance(embedder, Remote)
    np.testing.assert_allclose(embedder.embed(["", "abc"]), np.array([[0, 0], [3, 1]]) / 10**0.5, rtol=1e-6)
    assert embedder.id == "gateway-1:2:org/small"
    assert gateway.asked == [{"model": "org/small", "input": ["abc"], "encoding_format": "float"}]
    assert gateway.heads == [("/v1/embeddings", "Bearer sk-key")]


def test_how_long_its_vectors_are_is_asked_where_it_is_not_said(gateway: Gateway) -> None:
    embedder = embedder_for("gateway:small", gateway.address + "/v1/")
    assert embedder is not None
    assert embedder.id == "gateway-1:2:small"
    assert gateway.heads == [("/v1/embeddings", None)]


def test_many_texts_are_asked_for_in_parts_and_none_twice(gateway: Gateway) -> None:
    asking = Asking(gateway.address, None)
    texts = ["x" * (1 + i % 100) for i in range(3 * AT_ONCE)]
    found = asking.vectors("small", texts)
    again = asking.vectors("small", texts[::-1])
    assert [len(asked["input"]) for asked in gateway.asked] == [AT_ONCE, 100 - AT_ONCE]
    assert np.array_equal(found, again[::-1])
    assert np.allclose(found[:, 0] / found[:, 1], [len(text) for text in texts], rtol=1e-3)


def test_who_is_busy_is_asked_again(gateway: Gateway) -> None:
    gateway.statuses = [429, 503]
    pauses = Pauses()
    assert len(Asking(gateway.address, None, pauses).vectors("small", ["a"])) == 1
    assert pauses.seconds == [*PAUSES[:2]]


@pytest.mark.parametrize(("statuses", "tries"), [([429] * 99, len(PAUSES) + 1), ([401], 1), ([404], 1)])
def test_who_does_not_answer_is_told(gateway: Gateway, statuses: list[int], tries: int) -> None:
    gateway.statuses = [*statuses]
    with pytest.raises(NoEmbedder, match=f"status {statuses[0]}"):
        Asking(gateway.address, "sk-secret", Pauses()).vectors("small", ["a"])
    assert len(gateway.asked) == tries


def test_vectors_of_another_length_are_refused(gateway: Gateway) -> None:
    embedder = embedder_for("gateway:small:3", gateway.address)
    assert embedder is not None
    with pytest.raises(NoEmbedder, match="2 dimensions, and 3 were expected"):
        embedder.embed(["a"])


def test_an_address_where_nobody_is_is_told() -> None:
    with pytest.raises(click.ClickException, match="cannot be asked"):
        embedder_for("gateway:small", "http://127.0.0.1:1", "sk-secret")
    with pytest.raises(click.ClickException, match="http or https"):
        embedder_for("gateway:small", "ftp://somewhere")
