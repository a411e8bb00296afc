from __future__ import annotations

from typing import Any

import pytest

from pointsman.config.check import Report
from pointsman.config.files import place_of, read_files
from pointsman.store.settings import BucketPlace, FileSettings


def read(stated: Any) -> tuple[FileSettings, list[str]]:
    report = Report("config.yaml", {}, {})
    settings = read_files({} if stated is None else {"files": stated}, report)
    return settings, [str(problem) for problem in report.problems()]


def test_without_a_word_files_are_in_the_data_directory() -> None:
    assert read(None) == (FileSettings(), [])
    assert (FileSettings().max_bytes, FileSettings().batch_seconds) == (536_870_912, 2_592_000.0)


def test_what_is_stated_is_read() -> None:
    stated = {"bucket_url": "s3://b/team/x/", "max_file_mb": 0.5, "max_owner_mb": 2, "batch_days": 7}
    place = BucketPlace("s3", "b", "team/x/")
    settings = FileSettings(bucket=place, max_bytes=524_288, max_owner_bytes=2_097_152, batch_seconds=604_800.0)
    assert read(stated) == (settings, [])


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://b", BucketPlace("s3", "b")),
        ("gs://b/", BucketPlace("gcs", "b")),
        ("az://c/p", BucketPlace("azure", "c", "p/")),
        ("s3://", None),
        ("http://b/c", None),
        ("/var/files", None),
    ],
)
def test_an_address_names_a_bucket_and_a_prefix(url: str, place: BucketPlace | None) -> None:
    assert place_of(url) == place


def test_what_names_no_bucket_is_an_error() -> None:
    settings, problems = read({"bucket_url": "ftp://b/c"})
    assert settings.bucket is None
    assert len(problems) == 1
    assert "files.bucket_url" in problems[0]
