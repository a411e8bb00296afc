from __future__ import annotations

from pointsman.providers.dialects.elevenlabs.forms import write_form
from pointsman.providers.translation import UploadedFile
from pointsman.wire.multipart import MultipartScanner

SOUND = UploadedFile(name='a"\r\nX: y.wav', content_type="audio/wav\r\nX: y", data=b"RIFF\r\n--boundary\r\n")


def test_a_form_is_read_as_it_was_written() -> None:
    body, content_type = write_form([("model", "scribe_v1"), ("user", "ü")], SOUND)
    scanner = MultipartScanner(content_type.encode())
    scanner.feed(body)
    scanner.close()
    assert scanner.fields == {"model": "scribe_v1", "user": "ü"}
    assert scanner.parts == 3
    assert SOUND.data in body


def test_a_name_cannot_add_headers() -> None:
    body, _ = write_form([], SOUND)
    assert b'filename="a%22%0D%0AX: y.wav"\r\nContent-Type: audio/wavX: y\r\n\r\nRIFF' in body


def test_the_same_form_is_written_alike_and_no_type_is_any_bytes() -> None:
    assert write_form([("a", "b")], SOUND) == write_form([("a", "b")], SOUND)
    body, _ = write_form([], UploadedFile(name="a", content_type="", data=b""))
    assert b"Content-Type: application/octet-stream\r\n" in body


def test_a_value_cannot_hold_the_boundary_of_the_same_file() -> None:
    _, known = write_form([("a", "b")], SOUND)
    value = f"\r\n--{known.partition('boundary=')[2]}\r\n"
    body, content_type = write_form([("a", value)], SOUND)
    scanner = MultipartScanner(content_type.encode())
    scanner.feed(body)
    scanner.close()
    assert scanner.parts == 2
