from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.images import edit_image, generate_image, striped_png


def generate(body: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(generate_image(json.dumps(body).encode(), 5.0).pieces[0][1])
    return value


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = [], 8
    while place < len(png):
        [length] = struct.unpack_from(">I", png, place)
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", png, place + 8 + length) == (zlib.crc32(kind + data),)
        found.append((kind, data))
        place += 12 + length
    return found


@pytest.mark.parametrize(("width", "height"), [(1, 1), (64, 32), (3, 7)])
def test_a_png_has_valid_chunks_and_all_its_rows(width: int, height: int) -> None:
    chunks = dict(chunks_of(striped_png("x", width, height)))
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (width, height, 8, 2, 0, 0, 0)
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)
    assert b"demo model" in chunks[b"tEXt"]


def test_an_image_is_base64_and_says_what_it_is() -> None:
    body = generate({"prompt": "a cat", "n": 2, "size": "16x8"})
    assert body["created"] == 5
    assert len({image["b64_json"] for image in body["data"]}) == 2
    assert chunks_of(base64.b64decode(body["data"][0]["b64_json"]))
    assert "not from an AI" in body["data"][0]["revised_prompt"]
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]


def test_a_url_is_a_data_url() -> None:
    [image] = generate({"prompt": "a", "response_format": "url", "size": "auto"})["data"]
    assert image["url"].startswith("data:image/png;base64,")


def test_a_stream_ends_with_the_image() -> None:
    raw = json.dumps({"prompt": "a", "stream": True, "partial_images": 1, "size": "8x8"}).encode()
    [(_, piece)] = generate_image(raw, 5.0).pieces
    name, _, data = piece.decode().strip().partition("\n")
    assert name == "event: image_generation.completed"
    event = json.loads(data.removeprefix("data: "))
    assert event["b64_json"]
    assert (event["size"], event["created_at"], event["output_format"]) == ("8x8", 5, "png")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "n": 11}, "n"),
        ({"prompt": "a", "size": "big"}, "size"),
        ({"prompt": "a", "size": "0x8"}, "size"),
        ({"prompt": "a", "size": "9999x8"}, "size"),
        ({"prompt": "a", "size": 7}, "size"),
    ],
)
def test_wrong_fields_are_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generate(body)
    assert caught.value.param == param


def form(**fields: str) -> bytes:
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    )
    image = '--b\r\nContent-Disposition: form-data; name="image[]"; filename="a.png"\r\n\r\nPNG\r\n--b--\r\n'
    return (parts + image).encode()


def test_edits_and_variations_take_a_file() -> None:
    body = json.loads(edit_image(form(model="image", prompt="hat", n="2", size="8x8"), 5.0).pieces[0][1])
    assert len(body["data"]) == 2
    body = json.loads(edit_image(form(size="8x8", response_format="url"), 5.0).pieces[0][1])
    assert "variation of 3 bytes" in body["data"][0]["revised_prompt"]


@pytest.mark.parametrize("number", ["0", "11", "x", "9" * 5000])
def test_a_wrong_number_in_a_form_is_named(number: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        edit_image(form(n=number, size="8x8"), 5.0)
    assert caught.value.param == "n"
