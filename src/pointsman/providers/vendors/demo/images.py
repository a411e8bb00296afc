"""Images: stripes whose colours come from the prompt, as a PNG made here."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zlib
from typing import Any

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.form import file_of, read_form, text_of
from pointsman.providers.vendors.demo.names import find_model
from pointsman.providers.vendors.demo.reply import (
    DemoReply,
    event,
    event_reply,
    flag,
    json_reply,
    read_object,
    text_field,
    whole_number,
)
from pointsman.providers.vendors.demo.words import count_tokens

_SIDE = 256
_MAX_SIDE = 1_536
_MAX_IMAGES = 10
_STRIPES = 8
_SIZE = re.compile(r"(\d{1,4})x(\d{1,4})")
_NOTICE = "Stripes from Pointsman's built-in demo model, not from an AI"


def generate_image(raw: bytes, now: float) -> DemoReply:
    """``POST /images/generations``; also as a stream of one event per image."""
    body = read_object(raw)
    find_model(body.get("model"), "image_generation")
    prompt = text_field(body, "prompt")
    n_images = whole_number(body, "n", default=1, low=1, high=_MAX_IMAGES)
    answer = _answer(prompt, n_images, body.get("size"), now, wants_url=body.get("response_format") == "url")
    if not flag(body, "stream"):
        return json_reply(answer)
    kind = "image_generation.completed"
    shared = {
        "type": kind,
        "created_at": int(now),
        "size": "x".join(map(str, _sides(body.get("size")))),
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
        "usage": answer["usage"],
    }
    return event_reply((0.0, event(shared | image, kind)) for image in answer["data"])


def edit_image(raw: bytes, now: float) -> DemoReply:
    """``POST /images/edits`` and ``/images/variations``: the file is only looked at for its size."""
    parts = read_form(raw)
    find_model(text_of(parts, "model"), "image_generation")
    image = file_of(parts, "image", "image[]")
    prompt = text_of(parts, "prompt") or f"a variation of {len(image.value)} bytes"
    number = text_of(parts, "n") or "1"
    if not number.isdecimal() or not 1 <= int(number[:3]) <= _MAX_IMAGES:
        raise InvalidRequest(f"n must be a whole number from 1 to {_MAX_IMAGES}", param="n")
    wants_url = text_of(parts, "response_format") == "url"
    return json_reply(_answer(prompt, int(number), text_of(parts, "size"), now, wants_url=wants_url))


def _answer(prompt: str, n_images: int, size: Any, now: float, *, wants_url: bool) -> dict[str, Any]:
    width, height = _sides(size)
    data = []
    for index in range(n_images):
        png = base64.b64encode(striped_png(f"{prompt} {index}", width, height)).decode()
        where = {"url": f"data:image/png;base64,{png}"} if wants_url else {"b64_json": png}
        data.append(where | {"revised_prompt": f"{_NOTICE}: {prompt}"})
    n_in, n_out = count_tokens(prompt), n_images * 64
    usage = {
        "input_tokens": n_in,
        "input_tokens_details": {"text_tokens": n_in, "image_tokens": 0},
        "output_tokens": n_out,
        "total_tokens": n_in + n_out,
    }
    return {"created": int(now), "data": data, "usage": usage}


def _sides(size: Any) -> tuple[int, int]:
    if size in (None, "auto"):
        return _SIDE, _SIDE
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None or not all(1 <= int(side) <= _MAX_SIDE for side in found.groups()):
        raise InvalidRequest(f"size must be WIDTHxHEIGHT of at most {_MAX_SIDE}, or auto", param="size")
    return int(found[1]), int(found[2])


def striped_png(seed: str, width: int, height: int) -> bytes:
    """A PNG (8 bit RGB) of horizontal stripes; says in a text chunk where it comes from."""
    colours = hashlib.sha256(seed.encode()).digest()
    rows = bytearray()
    for y in range(height):
        start = 3 * (y * _STRIPES // height)
        rows += b"\0" + colours[start : start + 3] * width  # filter type 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"tEXt", b"Comment\0" + _NOTICE.encode()),
            _chunk(b"IDAT", zlib.compress(bytes(rows), 1)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
