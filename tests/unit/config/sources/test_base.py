from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.config.sources.base import Address, Fetched, SourceDown, Version, address_of, beside, directory_of


@pytest.mark.parametrize(
    ("text", "kind"), [("s3://b/a/c.yaml", "s3"), ("gs://b/a/c.yaml", "gcs"), ("az://b/a/c.yaml", "azure")]
)
def test_an_address_is_written_as_it_is_read(text: str, kind: str) -> None:
    address = address_of(text)
    assert address is not None
    assert (address.kind, address.bucket, address.key, str(address)) == (kind, "b", "a/c.yaml", text)


@pytest.mark.parametrize("text", ["config.yaml", "/etc/config.yaml", "s3://", "s3://b", "s3://b/", "https://b/c", ""])
def test_other_texts_are_no_address(text: str) -> None:
    assert address_of(text) is None


@pytest.mark.parametrize(
    ("name", "other", "found"),
    [
        ("config.yaml", "more.yaml", "more.yaml"),
        ("/etc/p/config.yaml", "a/more.yaml", "/etc/p/a/more.yaml"),
        ("/etc/p/config.yaml", "/more.yaml", "/more.yaml"),
        ("s3://b/p/config.yaml", "more.yaml", "s3://b/p/more.yaml"),
        ("s3://b/p/config.yaml", "../more.yaml", "s3://b/more.yaml"),
        ("s3://b/p/config.yaml", "../../../more.yaml", "s3://b/more.yaml"),
        ("s3://b/p/config.yaml", "/more.yaml", "s3://b/more.yaml"),
        ("gs://b/config.yaml", "s3://c/more.yaml", "s3://c/more.yaml"),
    ],
)
def test_what_a_document_names_is_beside_it(name: str, other: str, found: str) -> None:
    assert beside(name, other) == found


def test_files_that_an_object_names_are_in_the_working_directory() -> None:
    assert directory_of(str(Address("s3", "b", "p/c.yaml"))) == Path()
    assert directory_of("/etc/p/c.yaml") == Path("/etc/p")


def test_what_could_not_be_read_says_why() -> None:
    fetched = Fetched(
        kind="file",
        name="a",
        main="a",
        documents={"a": b"x"},
        absent={"b": "Permission denied"},
        version=Version("e", 0),
    )
    assert fetched.read("a") == b"x"
    with pytest.raises(OSError, match="Permission denied") as caught:
        fetched.read("b")
    assert caught.value.filename == "b"
    with pytest.raises(FileNotFoundError):
        fetched.read("c")


def test_a_failure_tells_what_and_what_to_do() -> None:
    assert str(SourceDown("it is down", "look at it")) == "it is down (look at it)"
    assert str(SourceDown("it is down")) == "it is down"
