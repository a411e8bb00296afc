from __future__ import annotations

import errno
import tempfile
from collections.abc import AsyncIterator

import pytest

from pointsman.access.estimates import Form
from pointsman.errors import BodyTooLarge, InvalidRequest, Overloaded, UnsupportedMediaType
from pointsman.pipeline.upload import HELD_IN_MEMORY, Upload
from pointsman.providers.translation import UploadedFile

KIND = b"multipart/form-data; boundary=b"
MODEL = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nhouse\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%b\r\n'
END = b"--b--\r\n"


class Client:
    """Sends a body in pieces and counts how many were taken."""

    def __init__(self, body: bytes, size: int) -> None:
        self._body = body
        self._size = size
        self.taken = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        for i in range(0, len(self._body), self._size):
            self.taken += 1
            yield self._body[i : i + self._size]


async def passed_on(body: bytes, size: int, name: str = "upstream-name") -> tuple[str | None, bytes, int | None]:
    """Model, outgoing body and its announced length."""
    with Upload(KIND, Client(body, size).pieces(), len(body)) as upload:
        model = await upload.find_model()
        splice = upload.splice(name)
        out = b"".join([piece async for piece in upload.outgoing(splice)])
        return model, out, upload.length(splice)


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
@pytest.mark.parametrize("file_first", [False, True])
async def test_the_model_is_replaced_wherever_it_stands_and_however_the_form_is_cut(
    size: int, file_first: bool
) -> None:
    file = FILE % b"sound\r\n--not-b model house"
    body = (file + MODEL if file_first else MODEL + file) + END
    model, out, length = await passed_on(body, size)
    assert model == "house"
    assert out == body.replace(b"\r\n\r\nhouse\r\n", b"\r\n\r\nupstream-name\r\n")
    assert length == len(out)


@pytest.mark.parametrize("size", [1, 1000])
async def test_a_form_without_a_model_gets_one_as_its_first_part(size: int) -> None:
    body = FILE % b"sound" + END
    model, out, length = await passed_on(body, size)
    assert model is None
    assert out == MODEL.replace(b"house", b"upstream-name") + body
    assert length == len(out)


@pytest.mark.parametrize("name", ["--b--", "a\r\n--b", "a\nb"])
async def test_a_name_that_would_break_the_form_is_refused(name: str) -> None:
    for form in (MODEL + FILE % b"s" + END, FILE % b"s" + END):
        with pytest.raises(InvalidRequest, match="break the form"):
            await passed_on(form, 20, name)


@pytest.mark.parametrize("name", ["house", "x", "a-much-longer-name"])
async def test_the_length_follows_the_name(name: str) -> None:
    _, out, length = await passed_on(MODEL + FILE % b"s" + END, 20, name)
    assert length == len(out)


async def test_no_length_is_announced_when_the_client_said_none() -> None:
    body = MODEL + FILE % b"s" + END
    with Upload(KIND, Client(body, 50).pieces(), None) as upload:
        await upload.find_model()
        assert upload.length(upload.splice("x")) is None


async def test_a_model_before_the_file_lets_the_file_pass_unheld() -> None:
    body = MODEL + FILE % (b"s" * 50_000) + END
    client = Client(body, 1000)
    with Upload(KIND, client.pieces(), len(body)) as upload:
        await upload.find_model()
        assert client.taken == 1
        outgoing = upload.outgoing(upload.splice("x"))
        await anext(outgoing)
        assert client.taken == 1
        await anext(outgoing)
        assert client.taken == 2


@pytest.mark.parametrize(("size", "is_on_disk"), [(HELD_IN_MEMORY // 2, False), (HELD_IN_MEMORY * 2, True)])
async def test_what_comes_before_the_model_is_held_on_disk_when_it_is_large(
    monkeypatch: pytest.MonkeyPatch, size: int, is_on_disk: bool
) -> None:
    files = []
    real = tempfile.TemporaryFile

    def open_file(*args: object, **kwargs: object) -> object:
        files.append(real())
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", open_file)
    body = FILE % (b"s" * size) + MODEL + END
    _, out, length = await passed_on(body, 65_536)
    assert out == body.replace(b"house", b"upstream-name")
    assert length == len(out)
    assert bool(files) is is_on_disk
    assert all(file.closed for file in files)


async def test_a_full_disk_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    body = FILE % (b"s" * (HELD_IN_MEMORY + 1)) + MODEL + END
    with (
        Upload(KIND, Client(body, 65_536).pieces(), len(body)) as upload,
        pytest.raises(Overloaded, match="model field before the file") as raised,
    ):
        await upload.find_model()
    assert "No space" in str(raised.value.operator_detail)


async def test_a_form_that_ends_too_early_is_refused_before_or_while_it_passes() -> None:
    body = FILE % b"sound"
    with Upload(KIND, Client(body, 10).pieces(), None) as upload, pytest.raises(InvalidRequest):
        await upload.find_model()
    with Upload(KIND, Client(MODEL + body, 70).pieces(), None) as upload:
        assert await upload.find_model() == "house"
        with pytest.raises(InvalidRequest):
            [_ async for _ in upload.outgoing(upload.splice("x"))]


async def test_a_second_model_behind_the_file_is_refused() -> None:
    body = MODEL + FILE % b"sound" + MODEL + END
    with pytest.raises(InvalidRequest, match="more than once"):
        await passed_on(body, 50)


@pytest.mark.parametrize(
    ("kind", "error"), [(b"application/json", UnsupportedMediaType), (b"multipart/form-data", InvalidRequest)]
)
def test_only_a_form_with_a_boundary_is_taken(kind: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        Upload(kind, Client(b"", 1).pieces(), None)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_whole_form_can_be_read(size: int) -> None:
    body = FILE % b"RIFF" + MODEL + END
    with Upload(KIND, Client(body, size).pieces(), len(body)) as upload:
        await upload.find_model()
        form = await upload.read_form(1000)
    file = form["file"]
    assert isinstance(file, UploadedFile)
    assert (file.name, file.data, form["model"]) == ("a.wav", b"RIFF", "house")


async def test_a_form_that_is_to_be_read_whole_has_a_bound() -> None:
    body = FILE % (b"x" * 100) + MODEL + END
    with Upload(KIND, Client(body, 10).pieces(), len(body)) as upload, pytest.raises(BodyTooLarge):
        await upload.read_form(50)


async def test_a_form_can_be_measured_before_it_goes_on() -> None:
    body = MODEL + MODEL.replace(b"model", b"n").replace(b"house", b"7") + FILE % (b"x" * 1000) + END
    with Upload(KIND, Client(body, 10).pieces(), None) as upload:
        await upload.find_model()
        assert await upload.measure() == Form(len(body), parts=3, n="7")
        assert b"".join([piece async for piece in upload.outgoing(upload.splice("house"))]) == body
    with Upload(KIND, Client(body[:-3], 10).pieces(), None) as upload, pytest.raises(InvalidRequest):
        await upload.measure()
