from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest, UnsupportedMediaType
from pointsman.wire.file_form import FileForm

TYPE = b"multipart/form-data; boundary=bound"
CONTENT = b"a\r\n--boun\r\nd--bound\n\r\n\x00\xff" + bytes(range(256)) * 3


def part(disposition: str, content: bytes) -> bytes:
    head = f"--bound\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
    return head + content + b"\r\n"


FILE = part('name="file"; filename="a.jsonl"', CONTENT)
PURPOSE = part('name="purpose"', b"batch")
SECONDS = part('name="expires_after[seconds]"', b"3600")
OTHER = part('name="custom_llm_provider"', b"x" * 5000)
END = b"--bound--\r\n"


def read(body: bytes, size: int) -> tuple[FileForm, bytes]:
    form = FileForm(TYPE)
    found = b"".join(one for place in range(0, len(body), size) for one in form.take(body[place : place + size]))
    form.close()
    return form, found


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
@pytest.mark.parametrize("order", [(FILE, PURPOSE, SECONDS, OTHER), (OTHER, SECONDS, PURPOSE, FILE)])
def test_the_file_comes_out_however_the_form_is_cut(order: tuple[bytes, ...], size: int) -> None:
    form, found = read(b"".join(order) + END, size)
    assert found == CONTENT
    assert form.filename == "a.jsonl"
    assert form.fields == {"purpose": "batch", "expires_after[seconds]": "3600"}


def test_what_has_arrived_of_the_file_is_not_held() -> None:
    form = FileForm(TYPE)
    form.take(part('name="file"; filename="a"', b"")[:-2])
    for _ in range(100):
        assert len(b"".join(form.take(b"x" * 65_536))) >= 65_536 - len(b"\r\n--bound")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="a b.txt"', "a b.txt"),
        ('filename="läng.txt"', "läng.txt"),
        ('filename="a%22b.txt"', 'a"b.txt'),
        (r'filename="a\"b.txt"', 'a"b.txt'),
        ('filename="C:\\dir\\a.txt"', "a.txt"),
        ('filename="../../etc/passwd"', "passwd"),
        ('filename=".."', "file"),
        ('filename=""', "file"),
        ('filename="a\x07\x1b[31m.txt"', "a[31m.txt"),
        ("filename=\"x\"; filename*=UTF-8''l%C3%A4ng%2F..%2Fb.txt", "b.txt"),
        ("filename*=utf-8''%ff.txt", "\ufffd.txt"),
        (f'filename="{"x" * 300}.txt"', "x" * 251 + ".txt"),
    ],
)
def test_the_name_of_a_file_is_one_that_can_be_shown(disposition: str, name: str) -> None:
    form, _ = read(part(f'name="file"; {disposition}', b"x") + END, 10_000)
    assert form.filename == name


@pytest.mark.parametrize("encoding", [b"binary", b"8BIT ", b"7bit\r\nX-Other: a"])
def test_a_file_may_say_that_it_is_sent_as_it_is(encoding: bytes) -> None:
    sent = FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n", 1)
    assert read(sent + END, 100)[1] == CONTENT


def test_a_file_needs_no_name() -> None:
    form, found = read(part('name="file"', b"abc") + END, 10_000)
    assert (form.filename, found) == ("file", b"abc")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (PURPOSE + END, "no part called 'file'"),
        (FILE + FILE + END, "given more than once"),
        (PURPOSE + PURPOSE + FILE + END, "given more than once"),
        (part('name="purpose"', b"x" * 2000) + END, "longer than"),
        (part('name="purpose"; filename="p"', b"batch") + FILE + END, "plain text field"),
        (part('name="purpose"', b"\xff") + FILE + END, "not UTF-8"),
        (FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + END, "must be binary"),
        (FILE, "before its closing boundary"),
        (FILE[:-300], "before its closing boundary"),
        (b"", "before its closing boundary"),
        (b"{}", "does not begin with the boundary"),
        (part('name="file"; filename="a"; filename="b"', b"x") + END, "a parameter twice"),
        (b"--bound\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END, "one Content-Disposition"),
    ],
)
def test_a_form_that_is_malformed_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        read(body, 10_000)


def test_only_forms_are_taken() -> None:
    with pytest.raises(UnsupportedMediaType):
        FileForm(b"application/json")
    with pytest.raises(InvalidRequest, match="boundary"):
        FileForm(b"multipart/form-data")
