from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from records import MemoryRecords

from pointsman.access.caller import Gatekeeper
from pointsman.access.keys import Pepper
from pointsman.access.settings import AccessSettings
from pointsman.edge.accounts import Accounts
from pointsman.edge.admin import Admin
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.gateway import Gateway
from pointsman.edge.loop import Acceptor
from pointsman.edge.reply import error_reply, json_reply
from pointsman.edge.server import Connection
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import ROUTES, Route, Routes
from pointsman.errors import GatewayError
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.catalog import Catalog
from pointsman.pipeline.health import HealthCheck
from pointsman.pipeline.idempotency import IdempotencyLedger
from pointsman.pipeline.known_keys import KnownKeys
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.targets import Target
from pointsman.providers.base import Deployment, Vendor
from pointsman.routing.groups import Groups
from pointsman.routing.settings import RoutingSettings
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.loopback import Loopback, Reply
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.settings import Timeouts
from pointsman.wire.secret import Secret

Answer = Callable[[Exchange], Awaitable[None]]


class State:
    """What uvicorn gives to every connection."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]


class ScriptedGateway:
    """Answers with whatever the test says, and keeps what it saw."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self.sweeper = Sweeper(asyncio.get_running_loop(), 0.02)
        self.sweeper.start()
        self.outbox = Outbox(asyncio.get_running_loop())
        self.is_draining = False
        self.seen: list[Exchange] = []
        self.bodies: list[bytes] = []
        self.cancelled = asyncio.Event()
        self.answer: Answer = self.echo

    async def echo(self, exchange: Exchange) -> None:
        body = await exchange.body(1 << 20)
        self.bodies.append(body)
        json_reply(exchange, {"method": exchange.method, "path": exchange.path, "length": len(body)})

    async def handle(self, exchange: Exchange) -> None:
        self.seen.append(exchange)
        exchange.request_id = f"req-{len(self.seen)}"
        try:
            await self.answer(exchange)
        except GatewayError as error:
            error_reply(exchange, error)
        except asyncio.CancelledError:
            self.cancelled.set()

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        error_reply(exchange, error)


class Peer:
    """A client that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> tuple[int, dict[str, str], bytes]:
        """One length-delimited or chunked reply."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            if headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int(await self.reader.readline(), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Wait until the server closes; false if it says anything more."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Edge:
    """A listening server and the way to reach it."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.gateway = ScriptedGateway(settings)
        self.state = State()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self.acceptor = Acceptor(loop, self.listener, self._connection)
        self.peers: list[Peer] = []

    def _connection(self) -> Connection:
        state: Any = self.state
        config: Any = None
        return Connection(config, state, {"gateway": self.gateway}, asyncio.get_running_loop())

    async def connect(self) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.peers.append(peer)
        return peer

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()
        self.acceptor.close()
        for connection in list(self.state.connections):
            connection.cut()
        self.gateway.sweeper.stop()


@pytest.fixture
async def make_edge() -> AsyncIterator[Callable[..., Edge]]:
    edges: list[Edge] = []

    def make(**settings: Any) -> Edge:
        edges.append(Edge(EdgeSettings(**settings)))
        return edges[-1]

    yield make
    for edge in edges:
        await edge.close()


class Wire:
    """Keeps what is sent, and reads it."""

    is_write_paused = False

    def __init__(self) -> None:
        self.sent = b""
        self.is_cut = False

    def date(self) -> bytes:
        return b""

    def send(self, data: bytes) -> None:
        self.sent += data

    def is_leaving(self) -> bool:
        return False

    def resume_body(self) -> None: ...
    def send_continue(self) -> None: ...
    def end_exchange(self, exchange: Exchange) -> None: ...

    def cut(self) -> None:
        self.is_cut = True

    @property
    def status(self) -> int:
        return int(self.sent.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.sent.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    @property
    def body(self) -> bytes:
        return self.sent.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def make_exchange(wire: Wire) -> Callable[..., Exchange]:
    """An exchange whose body has arrived, unless ``is_complete`` says otherwise."""

    def make(
        method: str = "GET",
        path: str = "/",
        *,
        query: str = "",
        headers: dict[bytes, bytes] | None = None,
        body: bytes = b"",
        is_complete: bool = True,
    ) -> Exchange:
        exchange = Exchange(
            wire,
            method=method,
            path=path,
            query=query,
            headers={b"content-length": b"%d" % len(body), **(headers or {})},
            version="1.1",
            keep_alive=True,
            received=0.0,
        )
        exchange.request_id = "req-1"
        if body:
            exchange.feed(body)
        if is_complete:
            exchange.complete()
        return exchange

    return make


@pytest.fixture
def make_serving() -> Callable[..., Serving]:
    """One model, ``house``, answered by a function of method, target and body."""
    vendor = Vendor(name="openai", has_responses=True, has_developer_role=True)
    house = Deployment(
        id="house-id",
        model_name="house",
        vendor=vendor,
        upstream_model="up-1",
        base_url="http://up.test/v1",
        credential=Secret("sk-upstream-canary"),
    )

    def make(
        answer: Callable[[bytes, bytes, bytes], Reply] | None = None,
        *,
        key: str | None = None,
        is_open_on_purpose: bool = False,
        is_metrics_public: bool = False,
        max_body_bytes: int = 1000,
        accounts: Accounts | None = None,
    ) -> Serving:
        metrics = Metrics("0")
        # One attempt: what follows a failure is the pipeline's own business.
        routing = RoutingSettings(num_retries=0)
        groups = Groups([house], routing)
        tasks = Tasks(logging.getLogger("tests"), 100)
        sweeper = Sweeper(asyncio.get_running_loop())
        admission = Admission(sweeper, metrics)
        upstream = Loopback(answer or _answer)
        target = Target(house, upstream, Timeouts(), metrics, {})
        return Serving(
            snapshot_number=1,
            gatekeeper=Gatekeeper(
                AccessSettings(master_key=None if key is None else Secret(key), is_open_on_purpose=is_open_on_purpose)
            ),
            is_metrics_public=is_metrics_public,
            pipeline=Pipeline(
                groups,
                {house.id: target},
                Answers(lambda: 1.0, lambda: 1e9, lambda: "1", sweeper),
                admission,
                tasks,
                routing=routing,
                serving=ServingSettings(max_body_bytes=max_body_bytes),
                clock=lambda: 1.0,
                chance=lambda: 0.0,
            ),
            catalog=Catalog(groups, [house], {}),
            health=HealthCheck(groups, {house.id: target}),
            metrics=metrics,
            ledger=IdempotencyLedger(tasks, admission, lambda: 1.0),
            accounts=accounts or Accounts(),
        )

    return make


def _answer(_method: bytes, target: bytes, body: bytes) -> Reply:
    """Tells what came, as an answer."""
    told = {"model": "up-1", "choices": [], "target": target.decode(), "body": body.decode()}
    return Reply(
        status=200, headers=[(b"content-type", b"application/json")], pieces=[(0.0, msgspec.json.encode(told))]
    )


MASTER_KEY = "sk-master-canary"
NOW = 1_800_000_000.0


class Answered(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    json: Any


class Desk:
    """The admin endpoints on records in memory, reached as clients do."""

    def __init__(self, make_serving: Callable[..., Serving], routes: Sequence[Route] = ROUTES) -> None:
        self.records = MemoryRecords()
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.pepper = Pepper(b"pepper")
        self.time = NOW
        self._made = 0
        self.keys = KnownKeys(self.records, self.pepper, self.tasks, clock=self.now, now=self.now)
        self.admin = Admin(
            records=self.records,
            keys=self.keys,
            pepper=self.pepper,
            now=self.now,
            make_key=self.make_key,
            make_id=lambda: f"id-{len(self.records.changes)}",
        )
        unused: Any = None
        serving = make_serving(key=MASTER_KEY, accounts=Accounts(self._open))
        self.gateway = Gateway(serving, Routes(routes), EdgeSettings(), unused, unused)

    async def _open(self) -> Admin:
        return self.admin

    def now(self) -> float:
        return self.time

    def make_key(self) -> str:
        self._made += 1
        return f"sk-canary-{self._made:020d}"

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = MASTER_KEY, query: str = ""
    ) -> Answered:
        """As ``key``; ``None``: without one."""
        wire = Wire()
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {b"content-length": b"%d" % len(data)}
        if key is not None:
            headers[b"authorization"] = b"Bearer " + key.encode()
        exchange = Exchange(wire, method, path, query, headers, "1.1", keep_alive=True, received=0.0)
        if data:
            exchange.feed(data)
        exchange.complete()
        await self.gateway.serving.accounts.opened()
        await self.gateway.handle(exchange)
        return Answered(wire.status, wire.json)

    async def post(self, path: str, body: Any = None, *, key: str | None = MASTER_KEY) -> Any:
        """What comes back of what has to work."""
        answered = await self.call("POST", path, {} if body is None else body, key=key)
        assert answered.status == 200, answered
        return answered.json

    async def get(self, path: str, query: str = "", *, key: str | None = MASTER_KEY) -> Any:
        answered = await self.call("GET", path, key=key, query=query)
        assert answered.status == 200, answered
        return answered.json

    async def key(self, *, by: str = MASTER_KEY, **terms: Any) -> str:
        """A new key."""
        made = await self.post("/key/generate", terms, key=by)
        key: str = made["key"]
        return key

    async def key_of(self, role: str) -> str | None:
        """A key of somebody with this role, in the team ``crew``."""
        if role in {"master", "none"}:
            return MASTER_KEY if role == "master" else None
        user_roles = {"admin": "proxy_admin", "read_only": "proxy_admin_viewer"}
        user = {"user_id": role, "user_role": user_roles.get(role, "internal_user"), "auto_create_key": False}
        await self.post("/user/new", user)
        if "crew" not in self.records.tables["teams"]:
            await self.post("/team/new", {"team_id": "crew"})
        member = {"user_id": role, "role": "admin" if role == "team_admin" else "user"}
        await self.post("/team/member_add", {"team_id": "crew", "member": member})
        return await self.key(user_id=role, team_id="crew")

    def id(self, key: str) -> str:
        return self.pepper.digest(key.encode()).hex()


@pytest.fixture
async def make_desk(make_serving: Callable[..., Serving]) -> AsyncIterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(routes: Sequence[Route] = ROUTES) -> Desk:
        desks.append(Desk(make_serving, routes))
        return desks[-1]

    yield make
    for desk in desks:
        await desk.tasks.close(1.0)


@pytest.fixture
async def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


@pytest.fixture
def untuned() -> Iterator[None]:
    """What a test tells the collector ends with it."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
