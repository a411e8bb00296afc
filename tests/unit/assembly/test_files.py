from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from contract.databases import sqlite_url, store

from pointsman.assembly.accounts import DATABASE
from pointsman.assembly.files import APART, FIRST_SECONDS, SWEEP_SECONDS, FileService
from pointsman.assembly.site import Site
from pointsman.batches.files import NewFile
from pointsman.config.loading import load
from pointsman.config.snapshot import Snapshot
from pointsman.edge.accounts import Accounts
from pointsman.edge.admin import Admin
from pointsman.errors import ObjectNotFound, Overloaded
from pointsman.store.blobs import DiskBlobs
from pointsman.store.bucket_blobs import BucketBlobs
from pointsman.telemetry.tasks import Tasks

NEW = NewFile(owner="a", purpose="vision", filename="a")
S3 = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


class Place:
    """What a service of files stands on."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.folder = folder
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.number = 0
        self.all: list[Accounts] = []

    def service(self, data: Path | None = None, environ: dict[str, str] | None = None) -> FileService:
        unused: Any = None

        async def opened() -> Admin:
            records = store(sqlite_url(self.folder))
            await records.open()
            return Admin(records=records, keys=unused, pepper=unused, now=unused, make_key=unused, make_id=unused)

        accounts = Accounts(opened, (self.folder / DATABASE).exists)
        self.all.append(accounts)
        site = Site(
            sweeper=unused,
            outbox=unused,
            tasks=self.tasks,
            metrics=unused,
            till=unused,
            accounts=accounts,
            data=data,
            database=None,
            environ=environ or {},
        )
        return FileService(site)

    def snapshot(self, text: str = "{}") -> Snapshot:
        self.number += 1
        file = self.folder / "config.yaml"
        file.write_text(text)
        loaded = load(file, {}, self.number)
        assert loaded.snapshot is not None, loaded.problems
        return loaded.snapshot


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.tasks.close(1.0)
    for accounts in made.all:
        await accounts.close()


async def test_files_are_kept_in_the_data_directory_each_database_in_its_own(place: Place) -> None:
    service = place.service(place.data)
    service.configure(place.snapshot("files: {max_file_mb: 1}"))
    files, again = await asyncio.gather(service.files(), service.files())
    assert files is again
    assert isinstance(files.blobs, DiskBlobs)
    assert files.settings.max_bytes == 1 << 20
    async with files.begin(NEW) as writing:
        row = await writing.finish()
    realm = await files.rows.realm()
    assert (place.data / "files" / realm / row.blob).exists()
    service.configure(place.snapshot("files: {max_file_mb: 2}"))
    assert files.settings.max_bytes == 2 << 20


async def test_a_bucket_stays_the_one_that_it_was(place: Place) -> None:
    service = place.service(place.data, S3)
    service.configure(place.snapshot("files: {bucket_url: s3://b/team}"))
    service.configure(place.snapshot())
    assert isinstance((await service.files()).blobs, BucketBlobs)


async def test_without_a_place_there_are_no_files(place: Place) -> None:
    service = place.service()
    service.configure(place.snapshot())
    with pytest.raises(ObjectNotFound):
        await service.files()


async def test_a_bucket_that_cannot_be_used_is_said_to_the_operator(place: Place) -> None:
    service = place.service(place.data, {"GOOGLE_APPLICATION_CREDENTIALS": "/absent.json"})
    service.configure(place.snapshot("files: {bucket_url: gs://b}"))
    with pytest.raises(Overloaded) as caught:
        await service.files()
    assert "cannot use the bucket b" in str(caught.value.operator_detail)
    assert "absent" not in caught.value.message


async def test_old_files_are_looked_for_where_there_may_be_any(place: Place) -> None:
    service = place.service(place.data)
    service.configure(place.snapshot())
    service.warm()
    assert len(place.tasks) == 0
    files = await service.files()
    begun = len(place.tasks)
    await service.files()
    assert len(place.tasks) == begun
    async with files.begin(NEW) as writing:
        await writing.finish()
    other = place.service(place.data)
    other.configure(place.snapshot())
    other.warm()
    assert len(place.tasks) == begun + 1


async def test_old_files_are_deleted_now_and_then_and_a_failure_ends_nothing(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, slept = place.service(place.data), list[float]()
    service.configure(place.snapshot())
    files = await service.files()
    found: list[int | Exception] = [0, Overloaded(operator_detail="it is away"), 3]

    async def sweep() -> int:
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(files, "sweep", sweep)
    caplog.set_level(logging.INFO, "pointsman.assembly.files")
    with pytest.raises(asyncio.CancelledError):
        await service.tidy(sleep, lambda: 0.5)
    assert slept == [FIRST_SECONDS / 2, SWEEP_SECONDS / 2, SWEEP_SECONDS / 2, SWEEP_SECONDS / 2]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["old files were not deleted: it is away", "3 old files were deleted"]


def test_nothing_of_files_is_loaded_before_somebody_asks() -> None:
    code = "import sys, pointsman.app, pointsman.cli; print(*(m for m in sys.modules if 'pointsman' in m))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"pointsman.batches.files", "pointsman.store.blobs", "pointsman.edge.routes.files"}


@pytest.mark.parametrize(("others", "told"), [(1, 1), (0, 0)])
async def test_gateways_that_share_rows_and_not_files_are_warned(
    place: Place, others: int, told: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(_self: object) -> int:
        return others

    monkeypatch.setattr("pointsman.store.sql.SqlRecords.others", count)
    service = place.service(place.data)
    service.configure(place.snapshot())
    await service.files()
    assert [record.getMessage() for record in caplog.records].count(APART) == told
