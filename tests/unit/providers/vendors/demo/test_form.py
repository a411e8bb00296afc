from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.form import file_of, read_form, text_of

FORM = (
    b"--b\r\n"
    b'Content-Disposition: form-data; name="model"\r\n\r\ntranscribe\r\n'
    b"--b\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\r\n--x\r\n\r\n"
    b"--b--\r\n"
)


def test_fields_and_files_are_told_apart() -> None:
    parts = read_form(FORM)
    assert text_of(parts, "model") == "transcribe"
    assert text_of(parts, "file") is None
    file = file_of(parts, "image", "file")
    assert (file.file_name, file.value) == ("a.wav", b"RIFF\r\n--x\r\n")


def test_a_name_inside_filename_is_not_the_name() -> None:
    body = b'--b\r\nContent-Disposition: form-data; filename="x"; name="file"\r\n\r\n\r\n--b--'
    [part] = read_form(body)
    assert (part.name, part.file_name, part.value) == ("file", "x", b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"--",
        b"--b\r\n",
        b"x" * 500,
        b"--b\r\nno head end\r\n--b--",
        b"--b\r\nContent-Type: x\r\n\r\nv\r\n--b--",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n',
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n' * 65 + b"--b--",
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_form(body)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        file_of(read_form(FORM), "image")
    assert caught.value.param == "image"
