from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.converse.media import read_image, write_audio, write_document, write_image
from pointsman.wire.chat import Audio, Document, Image


@pytest.mark.parametrize(
    ("image", "format_"),
    [
        (Image(data="AAAA", media_type="image/jpg"), "jpeg"),
        (Image(data="AAAA", media_type="image/webp"), "webp"),
        (Image(data="UklGRlA"), "webp"),
        (Image(url="s3://b/x.PNG"), "png"),
        (Image(data="AAAA", media_type="image/tiff"), None),
        (Image(data="AAAA"), None),
        (Image(url="s3://b/x"), None),
        (Image(url="https://example.org/x.png"), None),
        (Image(file_id="file-1"), None),
    ],
)
def test_pictures_are_written_where_their_format_and_place_are_known(image: Image, format_: str | None) -> None:
    block = write_image(image)
    assert (None if block is None else block["image"]["format"]) == format_


@pytest.mark.parametrize(
    "raw", [None, {}, {"format": "png"}, {"format": "png", "source": {"s3Location": {"uri": "s3://b/x"}}}]
)
def test_a_picture_without_data_is_none(raw: Any) -> None:
    assert read_image(raw) is None


def test_a_picture_is_read() -> None:
    assert read_image({"format": "jpeg", "source": {"bytes": "AA=="}}) == Image(data="AA==", media_type="image/jpeg")


def test_a_sound_is_given_or_told() -> None:
    assert write_audio(Audio(data="AA==")) == {"audio": {"format": "wav", "source": {"bytes": "AA=="}}}
    assert write_audio(Audio(id="a", transcript="Hi")) == {"text": "Hi"}
    assert write_audio(Audio(id="a")) is None


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (Document(data="A", media_type="text/x-python", name="../../etc/pass_wd\n.py"), "etc pass wd"),
        (Document(data="A", media_type="text/csv; charset=utf-8", name="a.csv"), "a"),
        (Document(data="A", media_type="application/pdf", name="noending"), "noending"),
        (Document(data="A", media_type="application/pdf", title="x" * 300), "x" * 180),
        (Document(data="A", media_type="application/pdf", name="資料.pdf"), "Document"),
    ],
)
def test_names_are_made_of_what_amazon_takes(document: Document, name: str) -> None:
    block = write_document(document, set())
    assert block is not None
    assert block["document"]["name"] == name


def test_no_two_documents_have_the_same_name() -> None:
    names: set[str] = set()
    blocks = [write_document(Document(data="A", media_type="text/html"), names) for _ in range(3)]
    found = [block["document"]["name"] for block in blocks if block is not None]
    assert found == ["Document", "Document 2", "Document 3"]


@pytest.mark.parametrize(
    ("document", "kind", "format_"),
    [
        (Document(data="A", name="a.md"), "document", "md"),
        (Document(data="A", media_type="video/3gpp"), "video", "three_gp"),
        (Document(url="s3://b/film.mpg"), "video", "mpg"),
        (Document(text="x", media_type="application/json"), "document", "txt"),
    ],
)
def test_formats_are_told_by_media_type_or_name(document: Document, kind: str, format_: str) -> None:
    block = write_document(document, set())
    assert block is not None
    assert block[kind]["format"] == format_


@pytest.mark.parametrize(
    "document", [Document(data="A"), Document(url="https://example.org/a.pdf"), Document(file_id="f", name="a.pdf")]
)
def test_what_amazon_cannot_read_is_not_written(document: Document) -> None:
    assert write_document(document, set()) is None
