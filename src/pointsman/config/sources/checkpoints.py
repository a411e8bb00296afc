"""The checkpoint of a routed model, fetched from a bucket into the directory from which it is served.

Both files are asked for by ETag; what comes is checked whole before it takes the place of what is there. What cannot be
used is not fetched again until it changes, or somebody asks. The ETags are kept beside the directory, so that a restart
fetches nothing that it has, and one process at a time fetches for all workers. Putting what is there into force is the
work of :class:`pointsman.pipeline.checkpoints.Kept`.

Imports numpy: for whoever has a routed model only.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from pointsman.config.sources.base import Address, SourceCounts, SourceDown, address_of
from pointsman.config.sources.objects import Getter
from pointsman.config.sources.stores import Bucket, Got
from pointsman.ml.checkpoint import MAX_MANIFEST_BYTES, MAX_TENSOR_BYTES, BadCheckpoint, Packed, unpack
from pointsman.ml.files import MANIFEST, TENSORS, expect_ours, write
from pointsman.routing.settings import RoutedSettings

FETCH_SECONDS = 300.0
"""Of one file, which may have 256 MiB."""
LOOK_SECONDS = 0.1
"""Between two looks whether somebody else is still fetching."""

log = logging.getLogger(__name__)


class Etags(msgspec.Struct, frozen=True):
    """Of the files that are there."""

    origin: str
    manifest: str
    tensors: str


class CheckpointFetch:
    """Fetches for one routed model; ``settings`` has an origin and a checkpoint."""

    def __init__(self, settings: RoutedSettings, environ: Mapping[str, str], bucket: Getter | None = None) -> None:
        """``bucket`` is where the origin is; ``None``: it is opened when it is first asked."""
        address = address_of(settings.origin or "")
        assert address is not None
        assert settings.checkpoint is not None
        self.name = settings.name
        self.interval = settings.reload_interval
        self.directory = Path(settings.checkpoint)
        self.problem: str | None = None
        """Why the last fetch gave nothing."""
        self._address: Address = address
        self._trusted_keys = settings.trusted_keys
        self._environ = environ
        self._bucket = bucket
        self._refused: tuple[Etags, SourceDown] | None = None
        """What was fetched last, if it cannot be used, and why."""
        self._beside = self.directory.with_name(f".{self.directory.name}.etags")

    @property
    def counts(self) -> SourceCounts:
        """What the bucket was asked."""
        return SourceCounts() if self._bucket is None else self._bucket.counts

    async def fetch(self, patience: float = 0.0) -> bool:
        """Fetch it if it has changed; gives whether another one is there now.

        Somebody else, in this process or another, who is fetching it is waited for; without ``patience``, it is left
        to them.

        :raises SourceDown: it cannot be fetched or used, and what was there still is; or there was no end of waiting
        """
        clock = asyncio.get_running_loop().time
        until = clock() + patience
        while (changed := await self._try(is_asked=patience > 0)) is None and clock() < until:  # noqa: ASYNC110  it may be another process
            await asyncio.sleep(LOOK_SECONDS)
        if changed is None and patience:
            raise SourceDown(f"{self._address} is being fetched by somebody else for long", "ask again")
        return bool(changed)

    async def _try(self, *, is_asked: bool) -> bool | None:
        """As :meth:`fetch`; ``None``: somebody else is fetching it."""
        try:
            changed = await self._fetch(is_asked=is_asked)
        except SourceDown as error:
            self.problem = str(error)
            raise
        except OSError as error:
            self.problem = f"cannot write {self.directory}: {error.strerror}"
            raise SourceDown(self.problem) from None
        self.problem = None
        return changed

    async def watch(
        self,
        then: Callable[[], Awaitable[object]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Fetch every so many seconds, and ``then`` when another one has come, until this is cancelled."""
        told: str | None = None
        while True:
            try:
                if await self.fetch():
                    await then()
            except SourceDown as error:
                if str(error) != told:
                    log.warning("%s keeps its checkpoint: %s", self.name, error)
            told = self.problem
            await sleep(self.interval)

    async def _fetch(self, *, is_asked: bool) -> bool | None:
        with self._turn() as is_ours:
            if not is_ours:
                return None
            held = await asyncio.to_thread(self._held)
            refused = None if is_asked else self._refused
            known = held if refused is None else refused[0]
            manifest, tensors = await self._get(MANIFEST, known.manifest), await self._get(TENSORS, known.tensors)
            if manifest is None and tensors is None:
                if refused is not None:
                    raise SourceDown(refused[1].what, refused[1].hint)
                self._refused = None
                return False
            if refused is not None:
                # Nobody has kept the bytes of what was refused.
                manifest = manifest or await self._get(MANIFEST, held.manifest)
                tensors = tensors or await self._get(TENSORS, held.tensors)
            etags = Etags(
                held.origin,
                held.manifest if manifest is None else manifest.etag,
                held.tensors if tensors is None else tensors.etag,
            )
            await _to_its_end(partial(self._put, manifest and manifest.data, tensors and tensors.data, etags))
            return True

    async def _get(self, name: str, etag: str) -> Got | None:
        if self._bucket is None:
            self._bucket = Bucket(self._address.kind, self._address.bucket, self._environ, FETCH_SECONDS)
        prefix = self._address.key.removesuffix(MANIFEST).rstrip("/")
        limit = MAX_MANIFEST_BYTES if name == MANIFEST else MAX_TENSOR_BYTES
        return await self._bucket.get(f"{prefix}/{name}", etag or None, limit)

    def _held(self) -> Etags:
        """Without ETags where what is there did not come from this origin, or is not whole."""
        nothing = Etags(str(self._address), "", "")
        try:
            expect_ours(self.directory)
        except BadCheckpoint as error:
            raise self._useless(error) from error
        try:
            found = msgspec.json.decode(self._beside.read_bytes(), type=Etags)
        except (OSError, msgspec.MsgspecError):
            return nothing
        is_there = all((self.directory / name).is_file() for name in (MANIFEST, TENSORS))
        return found if is_there and found.origin == nothing.origin else nothing

    def _put(self, manifest: bytes | None, tensors: bytes | None, etags: Etags) -> None:
        # One of the two may be the same as before.
        packed = Packed(
            (self.directory / MANIFEST).read_bytes() if manifest is None else manifest,
            (self.directory / TENSORS).read_bytes() if tensors is None else tensors,
        )
        try:
            unpack(packed.manifest, packed.tensors, trusted_keys=frozenset(self._trusted_keys))
        except BadCheckpoint as error:
            self._refused = etags, self._useless(error)
            raise self._refused[1] from error
        self._refused = None
        try:
            write(self.directory, packed)
        except BadCheckpoint as error:
            raise self._useless(error) from error
        # Until this is written the files seem to be of nobody, and are fetched once more.
        self._beside.write_bytes(msgspec.json.encode(etags))

    def _useless(self, error: BadCheckpoint) -> SourceDown:
        return SourceDown(f"{self._address} cannot be used: {error.what}", error.hint)

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether nobody else is fetching this."""
        self.directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._beside.with_suffix(".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


async def _to_its_end(write: Callable[[], None]) -> None:
    """In a thread. Who is cancelled meanwhile waits for it, so that nobody else begins to write the same."""
    writing = asyncio.get_running_loop().run_in_executor(None, write)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait((writing,))
        raise
