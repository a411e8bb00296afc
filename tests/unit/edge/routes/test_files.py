from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from files import NOW, BrokenBlobs, MemoryFiles, make_files

from pointsman.batches.files import Files
from pointsman.edge.exchange import Exchange
from pointsman.edge.routes import files as routes
from pointsman.store.blobs import NoRoom, Span
from pointsman.store.settings import FileSettings

MASTER = "sk-master-canary"
FORM = {b"content-type": b"multipart/form-data; boundary=bound"}
CONTENT = b'{"custom_id": "1"}\n' * 50
Send = Callable[..., Awaitable[Any]]


class Office:
    """A desk that keeps files in a directory."""

    def __init__(self, desk: Any, wire: type[Any], directory: Path, settings: FileSettings) -> None:
        self.rows = MemoryFiles()
        self.made = make_files(directory, self.rows, settings)
        self.desk = desk
        self._wire = wire
        desk.gateway.serving = replace(desk.gateway.serving, files=self)

    async def files(self) -> Files:
        return self.made

    def exchange(self, method: str, path: str, key: str, headers: dict[bytes, bytes]) -> tuple[Exchange, Any]:
        path, _, query = path.partition("?")
        wire = self._wire()
        given = {b"authorization": b"Bearer " + key.encode()} | headers
        return Exchange(wire, method, path, query, given, "1.1", keep_alive=True, received=0.0), wire

    async def call(
        self, method: str, path: str, body: bytes = b"", *, key: str = MASTER, headers: dict[bytes, bytes] | None = None
    ) -> Any:
        """What came back."""
        exchange, wire = self.exchange(method, path, key, headers or {})
        if body:
            exchange.feed(body)
        exchange.complete()
        await self.desk.gateway.serving.accounts.opened()
        await self.desk.gateway.handle(exchange)
        return wire

    async def send(self, content: bytes = CONTENT, *, key: str = MASTER, **fields: str) -> Any:
        return await self.call("POST", "/v1/files", form(content, **fields), key=key, headers=FORM)

    async def make(self, content: bytes = CONTENT, *, key: str = MASTER, purpose: str = "batch", **fields: str) -> str:
        sent = await self.send(content, key=key, purpose=purpose, **fields)
        assert sent.status == 200, sent.sent
        made: str = sent.json["id"]
        return made


def form(content: bytes, **fields: str) -> bytes:
    named = {
        name.replace("_after_", "_after[") + ("]" if "_after_" in name else ""): text for name, text in fields.items()
    }
    head = b'--bound\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    parts = [head % (name.encode(), b"", text.encode()) for name, text in named.items()]
    return b"".join(parts) + head % (b"file", b"; filename=\"l\xc3\xa4ng '1'.jsonl\"", content) + b"--bound--\r\n"


@pytest.fixture
def make_office(make_desk: Callable[..., Any], wire: Any, tmp_path: Path) -> Callable[..., Office]:
    def make(**settings: Any) -> Office:
        return Office(make_desk(), type(wire), tmp_path / "files", FileSettings(**settings))

    return make


@pytest.fixture
async def office(make_office: Callable[..., Office]) -> Office:
    return make_office()


def left(directory: Path) -> list[str]:
    place = directory / "files"
    return [path.name for path in place.iterdir()] if place.exists() else []


async def test_a_file_is_told_as_openai_does(office: Office) -> None:
    sent = await office.send(purpose="batch", expires_after_anchor="created_at", expires_after_seconds="3600")
    assert sent.status == 200
    told = sent.json
    assert told.pop("id").startswith("file-")
    assert len(told.pop("sha256")) == 64
    assert told == {
        "object": "file",
        "bytes": len(CONTENT),
        "created_at": int(NOW),
        "expires_at": int(NOW) + 3600,
        "filename": "läng '1'.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai", "/openai/v1"])
async def test_a_file_is_found_read_and_deleted_at_each_path(office: Office, prefix: str) -> None:
    sent = await office.call("POST", f"{prefix}/files", form(CONTENT, purpose="evals"), headers=FORM)
    path = f"{prefix}/files/{sent.json['id']}"
    assert (await office.call("GET", path)).json == sent.json
    read = await office.call("GET", f"{path}/content")
    assert (read.status, read.body) == (200, CONTENT)
    assert (await office.call("GET", f"{prefix}/files")).json["data"] == [sent.json]
    gone = await office.call("DELETE", path)
    assert gone.json == {"id": sent.json["id"], "object": "file", "deleted": True}
    for method, where in (("GET", path), ("GET", f"{path}/content"), ("DELETE", path)):
        absent = await office.call(method, where)
        assert (absent.status, absent.json["error"]["code"]) == (404, "not_found")


async def test_a_page_has_so_many_files_at_most_whatever_is_asked_for(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PAGE", 2)
    made = [await office.make() for _ in range(3)]
    for query in ("", "?limit=10000"):
        page = (await office.call("GET", f"/v1/files{query}")).json
        assert ([one["id"] for one in page["data"]], page["has_more"]) == ([made[2], made[1]], True)
    rest = (await office.call("GET", f"/v1/files?after={made[1]}")).json
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[0]], False)


async def test_a_list_has_pages(office: Office) -> None:
    made = [await office.make(purpose="vision" if number == 2 else "batch") for number in range(5)]
    first = (await office.call("GET", "/v1/files?limit=2")).json
    assert [one["id"] for one in first["data"]] == [made[4], made[3]]
    assert (first["object"], first["has_more"], first["first_id"], first["last_id"]) == ("list", True, made[4], made[3])
    rest = (await office.call("GET", f"/v1/files?after={made[3]}")).json
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[2], made[1], made[0]], False)
    named = (await office.call("GET", "/v1/files?purpose=vision&order=asc")).json
    assert [one["id"] for one in named["data"]] == [made[2]]
    nothing = (await office.call("GET", "/v1/files?purpose=evals")).json
    assert (nothing["data"], nothing["first_id"], nothing["last_id"]) == ([], None, None)


@pytest.mark.parametrize("query", ["order=up", "limit=0", "limit=10001", "limit=x", "after=file-absent"])
async def test_a_page_that_makes_no_sense_is_refused(office: Office, query: str) -> None:
    refused = await office.call("GET", f"/v1/files?{query}")
    assert (refused.status, refused.json["error"]["param"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "nonsense"}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"purpose": "batch", "expires_after_anchor": "now"}, "expires_after[anchor]"),
        ({"purpose": "batch", "expires_after_anchor": "created_at"}, "expires_after[seconds]"),
        ({"purpose": "batch", "expires_after": '{"anchor": "created_at", "seconds": 3600}'}, "expires_after"),
        ({"purpose": "batch", "expires_after_seconds": "3599"}, "expires_after[seconds]"),
        ({"purpose": "batch", "expires_after_seconds": "2592001"}, "expires_after[seconds]"),
        ({"purpose": "batch", "expires_after_seconds": "1e4"}, "expires_after[seconds]"),
        ({"purpose": "batch", "expires_after_seconds": "9" * 400}, "expires_after[seconds]"),
    ],
)
async def test_fields_that_make_no_sense_are_refused_and_nothing_is_kept(
    office: Office, tmp_path: Path, fields: dict[str, str], param: str
) -> None:
    refused = await office.send(CONTENT, **fields)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)
    assert (left(tmp_path), office.rows.rows) == ([], {})


async def test_a_body_that_is_no_form_is_refused(office: Office) -> None:
    assert (await office.call("POST", "/v1/files", b"{}")).status == 415
    assert (await office.call("POST", "/v1/files", b"{}", headers=FORM)).status == 400
    assert (await office.call("POST", "/v1/files", form(CONTENT, purpose="batch")[:-20], headers=FORM)).status == 400


@pytest.mark.parametrize("size", [1001, 80_000])
async def test_a_file_that_is_too_large_is_refused_and_nothing_is_kept(
    make_office: Callable[..., Office], tmp_path: Path, size: int
) -> None:
    office = make_office(max_bytes=1000)
    refused = await office.send(b"x" * size, purpose="batch")
    assert (refused.status, left(tmp_path)) == (413, [])
    assert (await office.send(b"x" * 1000, purpose="batch")).status == 200


async def test_files_are_seen_by_their_user_or_key_and_by_admins(office: Office) -> None:
    desk = office.desk
    ann, also_ann, ben = [await desk.key(user_id=user) for user in ("ann", "ann", "ben")]
    alone = await desk.key()
    admin = await desk.key_of("admin")
    made = {key: await office.make(key=key) for key in (ann, ben, alone, MASTER)}
    sees = {
        key: {one["id"] for one in (await office.call("GET", "/v1/files", key=key)).json["data"]}
        for key in (ann, also_ann, ben, alone, admin, MASTER)
    }
    everything = set(made.values())
    assert sees == {
        ann: {made[ann]},
        also_ann: {made[ann]},
        ben: {made[ben]},
        alone: {made[alone]},
        admin: everything,
        MASTER: everything,
    }
    absent = await office.call("GET", "/v1/files/file-absent", key=ben)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        foreign = await office.call(method, f"/v1/files/{made[ann]}{path}", key=ben)
        assert foreign.status == absent.status == 404
        told = [one.json["error"] | {"message": ""} for one in (foreign, absent)]
        assert told[0] == told[1]
    assert (await office.call("GET", f"/v1/files/{made[ann]}/content", key=also_ann)).body == CONTENT


async def test_who_may_only_look_keeps_no_files(office: Office) -> None:
    viewer = await office.desk.key_of("read_only")
    assert (await office.send(key=viewer, purpose="batch")).status == 403


async def test_content_is_no_page_of_this_host(office: Office) -> None:
    file = await office.make(b"<script>alert(1)</script>")
    headers = (await office.call("GET", f"/v1/files/{file}/content")).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    name = "attachment; filename=\"l_ng '1'.jsonl\"; filename*=UTF-8''l%C3%A4ng%20%271%27.jsonl"
    assert headers["content-disposition"] == name


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        (b"bytes=0-9", 206, (0, 10)),
        (b"bytes=10-", 206, (10, 950)),
        (b"bytes=-10", 206, (940, 950)),
        (b"bytes=-5000", 206, (0, 950)),
        (b"bytes=900-5000", 206, (900, 950)),
        (b"bytes=949-949", 206, (949, 950)),
        (b"bytes=950-", 416, None),
        (b"bytes=2000-", 416, None),
        (b"Bytes=0-9", 206, (0, 10)),
        (b"bytes=-0", 416, None),
        (b"bytes=5-2", 200, (0, 950)),
        (b"bytes=-", 200, (0, 950)),
        (b"bytes=0-1,4-5", 200, (0, 950)),
        (b"lines=0-1", 200, (0, 950)),
    ],
)
async def test_a_range_of_the_content_can_be_asked_for(
    office: Office, asked: bytes, status: int, span: tuple[int, int] | None
) -> None:
    content = bytes(number % 251 for number in range(950))
    file = await office.make(content)
    read = await office.call("GET", f"/v1/files/{file}/content", headers={b"range": asked})
    assert read.status == status
    start, end = span or (0, 0)
    assert read.body == content[start:end]
    assert int(read.headers["content-length"]) == end - start
    where = {206: f"bytes {start}-{end - 1}/950", 416: "bytes */950"}.get(status)
    assert read.headers.get("content-range") == where


async def test_the_rest_of_a_file_that_was_written_again_is_told_with_its_beginning(office: Office) -> None:
    file = await office.make()
    path = f"/v1/files/{file}/content"
    tag = (await office.call("GET", path)).headers["etag"].encode()
    for known, status in ((tag, 206), (b'"another"', 200)):
        read = await office.call("GET", path, headers={b"range": b"bytes=5-", b"if-range": known})
        assert (read.status, read.body) == (status, CONTENT[5:] if status == 206 else CONTENT)


async def test_who_keeps_too_much_sends_no_more(make_office: Callable[..., Office]) -> None:
    office = make_office(max_owner_bytes=1000)
    key = await office.desk.key(user_id="ann")
    assert (await office.send(CONTENT, key=key, purpose="batch")).status == 200
    assert (await office.send(CONTENT, key=key, purpose="batch")).status == 200
    refused = await office.send(CONTENT, key=key, purpose="batch")
    assert (refused.status, refused.json["error"]["code"]) == (507, "storage_full")
    assert refused.headers["x-should-retry"] == "false"
    assert (await office.send(CONTENT, purpose="batch")).status == 200


async def test_the_head_of_the_content_is_told_without_reading_it(office: Office) -> None:
    file = await office.make()
    office.made.blobs = BrokenBlobs(NoRoom("not to be asked"))
    head = await office.call("HEAD", f"/v1/files/{file}/content")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))


async def test_an_empty_file_has_an_empty_content(office: Office) -> None:
    file = await office.make(b"")
    read = await office.call("GET", f"/v1/files/{file}/content")
    assert (read.status, read.body, read.headers["content-length"]) == (200, b"", "0")


async def test_content_waits_for_a_client_that_does_not_read(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(3_500_000)
    file = await office.make(content)
    asked: list[int] = []
    spans = office.made.blobs.spans

    async def seen(name: str, wanted: Sequence[Span]) -> list[bytes]:
        asked.extend(size for _, size in wanted)
        return await spans(name, wanted)

    monkeypatch.setattr(office.made.blobs, "spans", seen)
    exchange, wire = office.exchange("GET", f"/v1/files/{file}/content", MASTER, {})
    exchange.complete()
    wire.is_write_paused = True
    task = asyncio.create_task(office.desk.gateway.handle(exchange))
    async with asyncio.timeout(10):
        while not exchange.is_started:
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (len(wire.body), asked) == (64 << 10, [64 << 10])
    wire.is_write_paused = False
    exchange.resume()
    await task
    assert wire.body == content


async def test_content_that_is_not_there_is_said_and_content_that_ends_is_cut(office: Office, tmp_path: Path) -> None:
    file = await office.make(b"x" * 3_000_000)
    blob = tmp_path / "files" / office.rows.rows[file].blob
    os.truncate(blob, 2_500_000)
    assert (await office.call("GET", f"/v1/files/{file}/content")).is_cut
    blob.unlink()
    absent = await office.call("GET", f"/v1/files/{file}/content")
    assert (absent.status, absent.json["error"]["code"]) == (503, "content_unavailable")


async def test_a_full_disk_and_a_store_that_is_away_are_told(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.rows.is_down = True
    away = await office.send(purpose="batch")
    assert (away.status, away.json["error"]["code"]) == (503, "store_unavailable")
    office.rows.is_down = False
    before = left(tmp_path)

    def fail(*_: object) -> None:
        raise NoRoom("no space left on device")

    monkeypatch.setattr("pointsman.store.blobs._DiskPart._keep", fail)
    full = await office.send(purpose="batch")
    assert (full.status, full.json["error"]["code"]) == (507, "storage_full")
    assert (left(tmp_path), office.rows.rows) == (before, {})
