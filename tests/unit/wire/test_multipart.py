from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from pointsman.wire.multipart import MAX_PARTS, FilePart, MultipartScanner, Splice, read_form

TYPE = b"multipart/form-data; boundary=XX"
FILE = b"\r\n--X\r\n--\r\n-\r--XX\r\n --XX \x00\xff\r\n\r\n"


def field(name: str, value: bytes) -> bytes:
    return b'--XX\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"


def file(content: bytes, name: str = "file") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a;b=\\"c\\".wav"\r\n'.encode()
    return head + b"Content-Type: audio/wav\r\n\r\n" + content + b"\r\n"


FORM = file(FILE) + field("model", b"whisper-1") + field("stream", b"true") + field("prompt", b"x") + b"--XX--\r\n"


def scan(*pieces: bytes, content_type: bytes = TYPE) -> MultipartScanner:
    scanner = MultipartScanner(content_type)
    for piece in pieces:
        scanner.feed(piece)
    scanner.close()
    return scanner


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        scan(body)
    whole = caught.value
    with pytest.raises(InvalidRequest) as caught:
        scan(*[body[at : at + 1] for at in range(len(body))])
    assert caught.value.message == whole.message
    return whole


def test_the_deciding_fields_and_the_place_of_the_model_are_found() -> None:
    scanner = scan(FORM)
    assert scanner.fields == {"model": "whisper-1", "stream": "true"}
    assert scanner.model_span is not None
    assert FORM[slice(*scanner.model_span)] == b"whisper-1"
    assert scanner.is_complete
    assert scanner.parts == 4


def test_a_form_cut_at_any_place_is_read_alike() -> None:
    for at in range(len(FORM) + 1):
        scanner = scan(FORM[:at], FORM[at:])
        assert (scanner.fields["model"], scanner.parts) == ("whisper-1", 4)
        assert FORM[slice(*scanner.model_span or ())] == b"whisper-1"


def test_a_form_fed_byte_by_byte_is_read_alike() -> None:
    scanner = scan(*[FORM[at : at + 1] for at in range(len(FORM))])
    assert FORM[slice(*scanner.model_span or ())] == b"whisper-1"
    assert scanner.fields == {"model": "whisper-1", "stream": "true"}


def test_the_model_is_known_before_the_file_has_come() -> None:
    scanner = MultipartScanner(TYPE)
    scanner.feed(field("model", b"m") + file(b"")[:40])
    assert scanner.fields == {"model": "m"}
    assert not scanner.is_complete


@given(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"X", b"XX", b"\r\n--", b"\r\n--X", b"a"]), max_size=20))
def test_bytes_like_a_boundary_in_a_file_are_content(parts: list[bytes]) -> None:
    content = b"a" + b"".join(parts)
    if b"\r\n--XX" in content + b"\r":
        return
    body = file(content) + field("model", b"m") + b"--XX--"
    for size in (1, 3, len(body)):
        scanner = scan(*[body[at : at + size] for at in range(0, len(body), size)])
        assert body[slice(*scanner.model_span or ())] == b"m"


def test_file_content_is_not_kept() -> None:
    scanner = MultipartScanner(TYPE)
    scanner.feed(file(b"")[:-2])
    for _ in range(50):
        scanner.feed(b"\r\n--Xdata" * 1000)
        assert len(scanner._window) < 10
    assert not scanner._value


def test_what_follows_the_closing_boundary_is_ignored() -> None:
    scanner = scan(FORM + field("model", b"other"), field("model", b"another"))
    assert scanner.fields["model"] == "whisper-1"


def test_an_empty_field_has_an_empty_place() -> None:
    body = field("model", b"") + b"--XX--"
    scanner = scan(body)
    assert scanner.fields == {"model": ""}
    splice = scanner.replace_model("m")
    assert splice is not None
    assert splice.apply(0, body) == field("model", b"m") + b"--XX--"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "ends before"),
        (FORM[:-6], "ends before"),
        (b"\r\n" + FORM, "does not begin"),
        (b"preamble" + FORM, "does not begin"),
        (b"--XX \r\n", "not followed by a line end"),
        (b"--XX\nContent", "not followed by a line end"),
        (file(b"a\r\n--XXY"), "not followed by a line end"),
        (b"--XX\r\n\r\nx\r\n--XX--", "header line"),
        (b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n--XX--", "one Content-Disposition"),
        (b"--XX\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--XX--", "not form-data"),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--", "one plain name"),
        (b"--XX\r\nContent-Disposition: form-data; name=a; name=model\r\n\r\nx\r\n--XX--", "parameter twice"),
        (b"--XX\r\nContent-Disposition: form-data; name=a; name*=utf-8''model\r\n\r\nx\r\n--XX--", "plain name"),
        (b'--XX\r\nContent-Disposition: form-data; name="mod\\el"\r\n\r\nx\r\n--XX--', "plain name"),
        (b'--XX\r\nContent-Disposition: form-data; name="model\r\n\r\nx\r\n--XX--', "cannot be read"),
        (b"--XX\r\nContent-Disposition: form-data;\r\n name=model\r\n\r\nx\r\n--XX--", "header line"),
        (b"--XX\r\nContent-Disposition : form-data; name=model\r\n\r\nx\r\n--XX--", "header line"),
        (b"--XX\r\nA: b\nContent-Disposition: form-data; name=model\r\n\r\nx\r\n--XX--", "header line"),
        (b"--XX\r\nContent-Disposition: form-data; name=model\r\n\r\n--XX--", "lacks the line end"),
        (b"--XX\r\nA: " + b"x" * 9000, "longer than 8192"),
    ],
)
def test_a_malformed_form_is_refused_with_what_is_wrong(body: bytes, what: str) -> None:
    assert what in refused(body).message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (field("model", b"a") + field("model", b"b"), "model"),
        (field("model", b"a" * 1025) + b"--XX--", "model"),
        (field("model", b"\xff") + b"--XX--", "model"),
        (file(b"a", name="model"), "model"),
        (field("api_base", b"http://x"), "api_base"),
        (b"--XX\r\nContent-Disposition: form-data; name=model\r\nContent-Transfer-Encoding: base64\r\n\r\n", "model"),
    ],
)
def test_a_field_at_fault_is_named(body: bytes, param: str) -> None:
    assert refused(body).param == param


def test_a_model_of_the_longest_length_is_taken() -> None:
    assert len(scan(field("model", b"a" * 1024) + b"--XX--").fields["model"]) == 1024


def test_too_many_parts_are_refused() -> None:
    scan(field("x", b"") * MAX_PARTS + b"--XX--")
    with pytest.raises(BodyTooLarge):
        scan(field("x", b"") * (MAX_PARTS + 1) + b"--XX--")


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=" + b"a" * 71,
        b"multipart/form-data; boundary=a; boundary=b",
        b'multipart/form-data; boundary="a b "',
        b"multipart/form-data; boundary=a@b",
    ],
)
def test_a_content_type_without_one_valid_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        MultipartScanner(content_type)


def test_another_content_type_is_not_supported() -> None:
    for content_type in (b"", b"application/json", b"multipart/mixed; boundary=a"):
        with pytest.raises(UnsupportedMediaType):
            MultipartScanner(content_type)


def test_the_boundary_may_be_quoted_and_the_names_in_any_case() -> None:
    for content_type in (b'Multipart/Form-Data; charset=utf-8; BOUNDARY="XX"', b"multipart/form-data;boundary=XX;a=b"):
        assert scan(FORM, content_type=content_type).fields["model"] == "whisper-1"


@given(st.lists(st.integers(0, 12), max_size=4), st.integers(0, 10), st.integers(0, 10), st.binary(max_size=4))
def test_a_splice_gives_the_same_body_whatever_the_pieces(cuts: list[int], a: int, b: int, new: bytes) -> None:
    old = b"0123456789ab"
    splice = Splice(min(a, b), max(a, b), new)
    wanted = old[: splice.start] + new + old[splice.end :]
    ends = [0, *sorted(cuts), len(old)]
    pieces = [(start, old[start:end]) for start, end in pairwise(ends)]
    assert b"".join(splice.apply(start, piece) for start, piece in pieces) == wanted
    assert splice.length(len(old)) == len(wanted)


def test_a_model_can_be_put_into_a_form_without_one() -> None:
    body = file(FILE) + b"--XX--\r\n"
    splice = scan(body).insert_model("m")
    assert splice.apply(0, body[:9]) + splice.apply(9, body[9:]) == field("model", b"m") + body
    assert splice.length(len(body)) == len(field("model", b"m") + body)


def test_without_a_model_there_is_nothing_to_replace() -> None:
    assert scan(field("x", b"") + b"--XX--").replace_model("m") is None


def test_a_form_is_read_with_its_files_and_lists() -> None:
    body = field("model", b"whisper-1") + file(FILE) + field("a[]", b"1") + field("a[]", b"2") + field("b", b"x")
    assert read_form(TYPE, body + field("b", b"y") + b"--XX--\r\nepilogue") == {
        "model": "whisper-1",
        "file": FilePart('a;b=\\"c\\".wav', "audio/wav", FILE),
        "a": ["1", "2"],
        "b": ["x", "y"],
    }


def test_a_file_that_says_nothing_of_its_type_is_bytes() -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nabc\r\n--XX--'
    assert read_form(TYPE, head) == {"file": FilePart("x", "application/octet-stream", b"abc")}


def test_a_field_that_is_no_text_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest, match="'prompt': not UTF-8"):
        read_form(TYPE, field("prompt", b"\xff") + b"--XX--")
