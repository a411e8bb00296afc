from __future__ import annotations

from pathlib import Path

from pointsman.store.settings import (
    BucketPlace,
    FileSettings,
    RecordSettings,
    RedisSettings,
    StoreSettings,
    sqlite_in,
)
from pointsman.wire.secret import Secret


def test_a_database_is_a_file_of_the_directory() -> None:
    assert sqlite_in(Path("/d")).url.reveal() == "sqlite:////d/pointsman.db"
    assert "/d" not in repr(sqlite_in(Path("/d")))


def test_passwords_of_addresses_are_secrets_as_they_stand_there_and_as_they_are_meant() -> None:
    records = RecordSettings(url=Secret("postgresql://u:p%40ss@h/d"))
    counters = RedisSettings(url=Secret("redis://:word@h"), password=Secret("other"))
    answers = RedisSettings(password=Secret("third"))
    known = {"p%40ss", "p@ss", "word", "other", "third"}
    assert set(StoreSettings(records=records, counters=counters, answers=answers).secrets()) == known
    assert list(StoreSettings(records=sqlite_in(Path("/d")), counters=RedisSettings()).secrets()) == []


def test_what_is_kept_how_long_can_change_while_the_stores_stay() -> None:
    assert StoreSettings(event_seconds=1.0, answers=RedisSettings()).fixed() == StoreSettings().fixed()
    assert StoreSettings(counters=RedisSettings()).fixed() != StoreSettings().fixed()
    assert StoreSettings(files=FileSettings(max_bytes=1)).fixed() == StoreSettings().fixed()
    assert StoreSettings(files=FileSettings(bucket=BucketPlace("s3", "b"))).fixed() != StoreSettings().fixed()
