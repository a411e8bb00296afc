"""Files of clients, as OpenAI has them: sent once, and named by an id from then on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pointsman.batches.files import PURPOSES, NewFile, Wanted, owner_of
from pointsman.edge.admin import Query
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.files import files_of
from pointsman.edge.gate import pour
from pointsman.edge.reply import identity, json_reply
from pointsman.errors import BodyTooLarge, InvalidRequest
from pointsman.store.files import FileRow
from pointsman.wire.file_form import FileForm

FORM_BYTES = 64 << 10
"""Of a form around its file."""
EXPIRES = "expires_after"
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
LEAST_SECONDS, MOST_SECONDS = 3600, 30 * 86_400
MAX_LIMIT = 10_000
PAGE = 1_000
"""Files that are told at a time; SDKs ask for the rest by themselves."""
DIGITS = re.compile("[0-9]{1,9}")
RANGE = re.compile(rb"(?i:bytes)=(\d{0,18})-(\d{0,18})")
KINDS = b"content-type: application/octet-stream\r\nx-content-type-options: nosniff\r\naccept-ranges: bytes\r\n"
"""Whatever is in a file, nobody's browser is to run it as a page of this host."""


async def create(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /v1/files``: it is written down while it arrives."""
    form = FileForm(exchange.headers.get(b"content-type", b""))
    files = await files_of(serving)
    owner, limit = owner_of(exchange.caller), files.settings.max_bytes
    await files.check_share(owner)
    async with files.begin(NewFile(owner=owner, purpose="", filename="")) as writing:
        async for piece in exchange.pieces(limit + FORM_BYTES):
            for found in form.take(piece):
                await writing.write(found)
            # What is wrong is said before the rest has arrived.
            _read_fields(form.fields, is_whole=False)
            if writing.size > limit:
                raise BodyTooLarge(f"A file may have up to {limit} bytes", param="file")
        form.close()
        purpose, expires = _read_fields(form.fields)
        if purpose is None:
            raise InvalidRequest(f"Set 'purpose': one of {', '.join(PURPOSES)}", param="purpose")
        new = NewFile(owner=owner, purpose=purpose, filename=form.filename or "", expires_seconds=expires)
        row = await writing.finish(new)
    json_reply(exchange, file_object(row))


async def list_files(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1/files``: a page of those that the caller may see."""
    files, query = await files_of(serving), Query(exchange)
    order = query.text("order") or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest("'order' is asc or desc", param="order")
    wanted = Wanted(
        purpose=query.text("purpose"),
        after=query.text("after"),
        limit=min(query.number("limit", MAX_LIMIT) or PAGE, PAGE),
        is_ascending=order == "asc",
    )
    rows, has_more = await files.list_files(owner_of(exchange.caller), wanted)
    first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
    told = {"object": "list", "data": list(map(file_object, rows)), "has_more": has_more}
    json_reply(exchange, told | {"first_id": first, "last_id": last})


async def show(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/files/{file_id}``: what is known of one."""
    files = await files_of(serving)
    json_reply(exchange, file_object(await files.find(owner_of(exchange.caller), params["file_id"])))


async def delete(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /v1/files/{file_id}``: it is gone at once."""
    files = await files_of(serving)
    row = await files.delete(owner_of(exchange.caller), params["file_id"])
    json_reply(exchange, {"id": row.id, "object": "file", "deleted": True})


async def content(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/files/{file_id}/content``: its bytes, or one range of them."""
    files = await files_of(serving)
    row = await files.find(owner_of(exchange.caller), params["file_id"])
    head = identity(exchange) + KINDS + _named(row)
    # Of a file that was written again since, the rest would not fit to what the client has.
    is_same = exchange.headers.get(b"if-range") in (None, b'"%b"' % row.sha256.encode())
    span = _asked(exchange.headers.get(b"range", b""), row.bytes) if is_same else None
    if span is not None and span[0] >= span[1]:
        exchange.reply(416, head + b"content-range: bytes */%d\r\n" % row.bytes, b"")
        return
    start, end = span or (0, row.bytes)
    where = b"content-range: bytes %d-%d/%d\r\n" % (start, end - 1, row.bytes) if span else b""
    if exchange.method == "HEAD":
        exchange.start(206 if span else 200, head + where, end - start)
        exchange.finish()
        return
    await pour(files.read(row, start, end), exchange, 206 if span else 200, head + where, end - start)


def file_object(row: FileRow) -> dict[str, Any]:
    """A file as OpenAI tells it, with its hash."""
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": int(row.created_at),
        "expires_at": None if row.expires_at is None else int(row.expires_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
        "sha256": row.sha256,
    }


def _read_fields(fields: Mapping[str, str], *, is_whole: bool = True) -> tuple[str | None, float | None]:
    """The purpose and after how many seconds the file is to go, as far as they have arrived; ``is_whole``: they have.

    :raises InvalidRequest: they make no sense
    """
    purpose, anchor, seconds = (fields.get(name) for name in ("purpose", ANCHOR, SECONDS))
    if purpose is not None and purpose not in PURPOSES:
        raise InvalidRequest(f"'purpose' must be one of {', '.join(PURPOSES)}", param="purpose")
    if anchor not in (None, "created_at"):
        raise InvalidRequest(f"'{ANCHOR}' must be created_at", param=ANCHOR)
    if EXPIRES in fields:
        raise InvalidRequest(f"Send '{ANCHOR}' and '{SECONDS}' as parts of their own", param=EXPIRES)
    if seconds is None:
        if is_whole and anchor is not None:
            raise InvalidRequest(f"'{SECONDS}' is missing", param=SECONDS)
        return purpose, None
    if not DIGITS.fullmatch(seconds) or not LEAST_SECONDS <= int(seconds) <= MOST_SECONDS:
        what = f"'{SECONDS}' must be a number from {LEAST_SECONDS} to {MOST_SECONDS}"
        raise InvalidRequest(what, param=SECONDS)
    return purpose, float(seconds)


def _asked(header: bytes, size: int) -> tuple[int, int] | None:
    """The part that is asked for (RFC 9110, section 14.1.2), which is none where its end does not lie behind its start.

    ``None``: all of it; so is what cannot be read, and several ranges at a time.
    """
    found = RANGE.fullmatch(header.replace(b" ", b""))
    if found is None or found[1] == found[2] == b"":
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    start = int(found[1])
    end = int(found[2]) if found[2] else max(start, size)
    return None if end < start else (start, min(end + 1, size))


def _named(row: FileRow) -> bytes:
    """Header lines with the file's name (RFC 6266) and its hash."""
    plain = re.sub(r"[^ -~]|[\"\\]", "_", row.filename).encode()
    line = b'content-disposition: attachment; filename="%b"; filename*=UTF-8\'\'%b\r\netag: "%b"\r\n'
    return line % (plain, quote(row.filename, safe="").encode(), row.sha256.encode())
