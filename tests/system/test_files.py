"""Files in a gateway as a process, by OpenAI's SDK: on each store, on a disk and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from contract.databases import new_database, postgres_or_skip
from contract.postgres import PostgresServer
from openai import APIStatusError, InternalServerError, NotFoundError, OpenAI
from system.fakes.buckets import S3
from system.process import Gateway, generated_key

MASTER = "sk-master-canary-77aa"
SALT = {"POINTSMAN_SALT_KEY": "a-salt-for-tests-only"}
CONFIG = f"""
model_list:
  - model_name: house
    litellm_params: {{model: demo/small}}
general_settings: {{master_key: {MASTER}}}
"""
PATIENCE = 30.0
MEBIBYTE = 1 << 20
HEAD = (
    b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
    b"Content-Type: multipart/form-data; boundary=bound\r\nContent-Length: 50000000\r\n\r\n"
    b'--bound\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
) % MASTER.encode()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    made = postgres_or_skip()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """Those with which a gateway keeps its rows in one kind of store or the other."""
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"DATABASE_URL": asyncio.run(new_database(server)), **SALT}


def client(gateway: Gateway, key: str = MASTER) -> OpenAI:
    return OpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def make_key(gateway: Gateway, **asked: Any) -> str:
    return generated_key(gateway, MASTER, asked)


def kept(home: Path) -> list[Path]:
    return [path for path in (home / "data" / "files").rglob("*") if path.is_file()]


def until(is_so: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def peak(gateway: Gateway) -> int:
    """Bytes of memory that the process has used at most."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.requirement("files.openai")
def test_openais_sdk_sends_lists_reads_and_deletes_files(tmp_path: Path, variables: dict[str, str]) -> None:
    data = b'{"custom_id": "1"}\n' * 100_000
    with Gateway(tmp_path, CONFIG, env=variables) as gateway, client(gateway) as openai:
        made = openai.files.create(
            file=("läng.jsonl", data), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert (made.object, made.bytes, made.filename, made.purpose) == ("file", len(data), "läng.jsonl", "batch")
        assert (made.status, made.expires_at) == ("processed", made.created_at + 3600)
        assert openai.files.retrieve(made.id) == made
        assert openai.files.content(made.id).read() == data
        others = [openai.files.create(file=b"x", purpose="user_data").id for _ in range(3)]
        assert {one.id for one in openai.files.list(limit=2)} == {made.id, *others}
        assert [one.id for one in openai.files.list(purpose="batch")] == [made.id]
        assert openai.files.delete(made.id).deleted
        with pytest.raises(NotFoundError):
            openai.files.content(made.id)
        assert {one.id for one in openai.files.list()} == set(others)
    # What was kept is there after a restart.
    with Gateway(tmp_path, CONFIG, env=variables) as gateway, client(gateway) as openai:
        assert openai.files.content(others[0]).read() == b"x"


@pytest.mark.requirement("files.ownership")
def test_somebody_elses_file_looks_like_none(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG) as gateway:
        keys = [make_key(gateway, user_id=user) for user in ("ann", "ann", "ben")]
        ann, also_ann, ben = (client(gateway, key) for key in keys)
        made = ann.files.create(file=b"mine", purpose="assistants")
        assert also_ann.files.content(made.id).read() == b"mine"
        assert client(gateway).files.retrieve(made.id) == made
        for call in (ben.files.retrieve, ben.files.content, ben.files.delete):
            with pytest.raises(NotFoundError):
                call(made.id)
        assert ben.files.list().data == []
        for one in (ann, also_ann, ben):
            one.close()


@pytest.mark.requirement("files.bounded")
def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    data = os.urandom(MEBIBYTE) * 150
    with Gateway(tmp_path, CONFIG) as gateway, client(gateway) as openai:
        openai.files.create(file=b"first", purpose="user_data")
        before = peak(gateway)
        made = openai.files.create(file=data, purpose="user_data")
        with openai.files.with_streaming_response.content(made.id) as read:
            digest = hashlib.sha256()
            for piece in read.iter_bytes():
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(data).digest()
        assert peak(gateway) - before < 40 * MEBIBYTE


@pytest.mark.requirement("files.bounded")
def test_clients_that_do_not_read_cost_little(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG) as gateway, client(gateway) as openai, ExitStack() as leaving:
        made = openai.files.create(file=os.urandom(MEBIBYTE) * 24, purpose="user_data")
        openai.files.content(made.id).read()
        before = peak(gateway)
        asked = f"GET /v1/files/{made.id}/content HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {MASTER}\r\n\r\n"
        for _ in range(60):
            stalled = leaving.enter_context(gateway.connect())
            stalled.sendall(asked.encode())
            assert stalled.recv(12) == b"HTTP/1.1 200"
        assert peak(gateway) - before < 30 * MEBIBYTE


@pytest.mark.requirement("files.nothing-left")
def test_who_leaves_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG) as gateway, client(gateway) as openai:
        openai.files.create(file=b"kept", purpose="user_data")
        with gateway.connect() as leaving:
            leaving.sendall(HEAD + b"x" * 5_000_000)
            until(lambda: len(kept(tmp_path)) == 2)
        until(lambda: len(kept(tmp_path)) == 1)
        assert len(openai.files.list().data) == 1


@pytest.mark.requirement("files.nothing-left")
def test_a_killed_gateway_has_no_half_file(tmp_path: Path) -> None:
    killed = Gateway(tmp_path, CONFIG)
    try:
        with client(killed.__enter__()) as openai, killed.connect() as sending:
            made = openai.files.create(file=b"kept", purpose="user_data")
            sending.sendall(HEAD + b"x" * 5_000_000)
            until(lambda: len(kept(tmp_path)) == 2)
            killed.process.kill()
    finally:
        killed.stop()
    with Gateway(tmp_path, CONFIG) as gateway, client(gateway) as openai:
        assert [one.id for one in openai.files.list()] == [made.id]
        assert openai.files.content(made.id).read() == b"kept"
        assert sorted(path.suffix for path in kept(tmp_path)) == ["", ".part"]


@pytest.mark.requirement("files.disk-full")
def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG) as gateway, client(gateway) as openai:
        made = openai.files.create(file=b"kept", purpose="user_data")
        # No file may become larger than that, which is told as a disk that is full.
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (8 * MEBIBYTE, 8 * MEBIBYTE))
        with pytest.raises(InternalServerError) as caught:
            openai.files.create(file=b"x" * 20 * MEBIBYTE, purpose="batch")
        assert (caught.value.status_code, caught.value.code) == (507, "storage_full")
        assert len(kept(tmp_path)) == 1
        assert openai.files.content(made.id).read() == b"kept"
        assert openai.files.create(file=b"y" * MEBIBYTE, purpose="batch").bytes == MEBIBYTE


@pytest.mark.requirement("files.store-away")
def test_a_database_that_is_away_is_told_and_all_else_goes_on(tmp_path: Path) -> None:
    server = postgres_or_skip()
    try:
        env = {"DATABASE_URL": asyncio.run(new_database(server)), **SALT}
        with Gateway(tmp_path, CONFIG, env=env) as gateway, client(gateway) as openai:
            made = openai.files.create(file=b"kept", purpose="user_data")
            server.kill()
            calls: tuple[Callable[[], object], ...] = (
                lambda: openai.files.retrieve(made.id),
                lambda: openai.files.create(file=b"x", purpose="batch"),
            )
            for call in calls:
                with pytest.raises(APIStatusError) as caught:
                    call()
                assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
            answer = openai.chat.completions.create(model="house", messages=[{"role": "user", "content": "Hi"}])
            assert answer.choices[0].message.content
            server.start()
            until(lambda: gateway.get(f"/v1/files/{made.id}", key=MASTER).status == 200)
            assert openai.files.content(made.id).read() == b"kept"
    finally:
        server.close()


@pytest.mark.requirement("files.bucket")
def test_files_are_kept_in_a_bucket(tmp_path: Path) -> None:
    data = os.urandom(MEBIBYTE) * 20
    with S3("blobs") as s3:
        config = CONFIG + "files: {bucket_url: s3://blobs/team}\n"
        with Gateway(tmp_path, config, env=s3.environ) as gateway, client(gateway) as openai:
            made = openai.files.create(file=data, purpose="user_data")
            small = openai.files.create(file=b"small", purpose="user_data")
            assert openai.files.content(made.id).read() == data
            part = gateway.get(f"/v1/files/{made.id}/content", {"range": "bytes=-10"}, key=MASTER)
            assert (part.status, part.body) == (206, data[-10:])
            assert len(s3.names()) == 2
            assert all(key.startswith("team/files/") for key in s3.names())
            openai.files.delete(small.id)
            assert len(s3.names()) == 1
            assert kept(tmp_path) == []
            s3.stop()
            with pytest.raises(APIStatusError) as caught:
                openai.files.create(file=b"x", purpose="user_data")
            assert (caught.value.status_code, caught.value.code) == (503, "files_unavailable")
            assert len(openai.files.list().data) == 1


def test_a_file_larger_than_the_config_allows_is_refused_at_once(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG + "files: {max_file_mb: 1}\n") as gateway, client(gateway) as openai:
        with pytest.raises(APIStatusError) as caught:
            openai.files.create(file=b"x" * 2 * MEBIBYTE, purpose="batch")
        assert caught.value.status_code == 413
        assert kept(tmp_path) == []
        assert openai.files.create(file=b"x" * MEBIBYTE, purpose="batch").bytes == MEBIBYTE
