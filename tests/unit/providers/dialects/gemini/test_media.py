from __future__ import annotations

import pytest

from pointsman.errors import Inexpressible
from pointsman.providers.dialects.gemini.media import read_blob, read_file, write_audio, write_document, write_image
from pointsman.wire.chat import Audio, Document, Image


@pytest.mark.parametrize(
    ("mime", "expected"),
    [
        ("image/webp", Image(data="AA", media_type="image/webp")),
        ("audio/mpeg", Audio(data="AA", format="mp3")),
        ("audio/L16;codec=pcm;rate=24000", Audio(data="AA", format="pcm16")),
        ("audio/x-new", Audio(data="AA", format="x-new")),
        ("video/mp4", Document(data="AA", media_type="video/mp4")),
        ("", Document(data="AA")),
    ],
)
def test_data_is_read_by_its_type(mime: str, expected: object) -> None:
    assert read_blob(mime, "AA") == expected


@pytest.mark.parametrize(
    ("uri", "mime", "expected"),
    [
        ("https://e.org/a.PNG?x=1", None, Image(url="https://e.org/a.PNG?x=1", media_type="image/png")),
        ("https://e.org/a", None, Document(url="https://e.org/a")),
        ("gs://b/a.pdf", None, Document(file_id="gs://b/a.pdf", media_type="application/pdf")),
        ("files/abc", "image/png", Image(file_id="files/abc", media_type="image/png")),
        (
            "https://generativelanguage.googleapis.com/v1beta/files/a",
            "audio/wav",
            Document(file_id="https://generativelanguage.googleapis.com/v1beta/files/a", media_type="audio/wav"),
        ),
        ("https://[broken", None, Document(url="https://[broken")),
    ],
)
def test_a_file_is_a_url_or_one_of_googles(uri: str, mime: str | None, expected: object) -> None:
    assert read_file(uri, mime) == expected


def test_files_of_others_cannot_be_sent() -> None:
    with pytest.raises(Inexpressible) as caught:
        write_image(Image(file_id="file-abc"), "messages[0].content[1]")
    assert caught.value.param == "messages[0].content[1]"
    with pytest.raises(Inexpressible):
        write_document(Document(), "here")


def test_what_has_no_type_gets_the_usual_one() -> None:
    assert write_image(Image(data="AA"), "x") == {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    assert write_document(Document(data="AA"), "x") == {"inlineData": {"mimeType": "application/pdf", "data": "AA"}}
    assert write_document(Document(url="https://e.org/a"), "x") == {"fileData": {"fileUri": "https://e.org/a"}}
    assert write_audio(Audio(data="AA", format="amr")) == {"inlineData": {"mimeType": "audio/amr", "data": "AA"}}
    assert write_audio(Audio(id="audio_1")) is None
