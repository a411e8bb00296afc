"""Gemini's batches: requests in its own words are uploaded as a file, and a batch made of it under a name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from pointsman.batches.protocol.providers.anthropic import CARRIED
from pointsman.batches.protocol.providers.base import OK, Got, Progress
from pointsman.batches.protocol.providers.gemini import (
    ENDPOINTS,
    FILE_TYPE,
    LAST_PIECE,
    UPLOAD_URL,
    VERSION,
    File,
    Line,
    Listed,
    Told,
    Uploaded,
    asked,
    complaint,
    read,
    upload,
    wanted,
)
from pointsman.batches.remotes.base import Order, State, Step
from pointsman.batches.remotes.http import Api, Sending
from pointsman.batches.remotes.translating import Translator
from pointsman.pipeline.targets import Target
from pointsman.providers.dialects import gemini

PENDING_SECONDS: Final = 10.0
"""Until it is asked again whether it has looked at an input file."""
FILES: Final = "files"
BATCHES: Final = "batches"
MAX_PAGES: Final = 100
"""Of batches, of which one may be ours."""
PAGE: Final = 20
MAX_PAGE_BYTES: Final = 64 << 20
"""Batches that somebody has made without files are listed with their results."""


class GeminiRemote:
    """A :class:`~pointsman.batches.remotes.base.Remote`."""

    def __init__(self, target: Target) -> None:
        self._api = Api(target)
        self._target = target
        self._translator = Translator(target)

    def takes(self, endpoint: str, headers: Mapping[str, str]) -> bool:
        """What Anthropic's clients say of their own API is nothing to it, with or without a batch."""
        return endpoint in ENDPOINTS and headers.keys() <= CARRIED

    async def find(self, order: Order, progress: Progress) -> Progress:
        """Batches are shown under the name that they were given."""
        token = ""
        for _ in range(MAX_PAGES):
            page = f"&pageToken={quote(token, safe='')}" if token else ""
            path = f"{VERSION}/{BATCHES}?pageSize={PAGE}{page}"
            listed = await self._api.ask(b"GET", path, None, Listed, MAX_PAGE_BYTES)
            for one in listed.operations:
                if one.metadata.display_name == order.mark:
                    return replace(progress, batch=one.name)
            token = listed.next_page_token
            if not token:
                break
        return progress

    async def begin(self, order: Order, progress: Progress) -> Step | None:
        """Upload the file, wait until it was looked at, make the batch."""
        if not progress.file:
            file = await self._upload(order)
            return Step(replace(progress, file=file.name, since=order.now()), 0.0)
        file = await self._api.ask(b"GET", _path(FILES, progress.file), None, File)
        if file.is_pending and order.may_wait:
            return Step(progress, PENDING_SECONDS)
        path = f"{VERSION}/{gemini.resource(self._target.batch_model)}:batchGenerateContent"
        told = await self._api.make(path, wanted(order.mark, file.name), Told)
        return Step(replace(progress, batch=told.name))

    async def state(self, batch: str) -> State:
        """A batch, as it is."""
        told = await self._api.ask(b"GET", _path(BATCHES, batch), None, Told)
        return State(told.is_over, told.files, told.problem)

    async def cancel(self, batch: str) -> None:
        """What was begun there goes on to its end."""
        await self._api.ask(b"POST", f"{_path(BATCHES, batch)}:cancel", {}, dict)

    async def results(self, order: Order, state: State) -> AsyncGenerator[Got]:
        """The lines of its file, as answers to those that were asked."""
        for file in state.results:
            async with aclosing(self._api.lines(f"{_path(FILES, file)}:download?alt=media")) as lines:
                async for line in lines:
                    found = read(line)
                    if found is not None and (one := await self._got(order, found)) is not None:
                        yield one

    async def _got(self, order: Order, line: Line) -> Got | None:
        number, problem = line.number, line.problem
        if number is None:
            return None
        status, body = (OK, bytes(line.response)) if problem is None else (problem.status, complaint(problem))
        return await self._translator.got(order, number, status, body, f"{order.mark}-{number}")

    async def _upload(self, order: Order) -> File:
        size = 0
        async with aclosing(self._body(order)) as pieces:
            async for piece in pieces:
                size += len(piece)
        told, lines = upload(order.mark, size)
        # The place is the provider's, whatever host it names: a key goes only to the one that was configured.
        place = urlsplit(await self._api.named(f"/upload{VERSION}/{FILES}", told, lines, UPLOAD_URL))
        path = place.path.removeprefix(self._target.batch_root or "")
        sending = Sending(FILE_TYPE, size, lines=LAST_PIECE)
        made = await self._api.send(f"{path}?{place.query}", self._body(order), sending, Uploaded)
        return made.file

    async def _body(self, order: Order) -> AsyncGenerator[bytes]:
        wording = self._translator.wording
        async with aclosing(order.requests()) as requests:
            async for some in requests:
                yield b"".join(asked(number, wording.asked(request)) for number, request in some)


def _path(collection: str, name: str) -> str:
    """Of a resource, which is called by its collection and its id."""
    return f"{VERSION}/{collection}/{quote(name.removeprefix(f'{collection}/'), safe='')}"
