"""Ten thousand spoilt checkpoints in the place of one that is in use."""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chaos.spoiling import MODELS, REMOTE, Spoilt, spoil, trained

from pointsman.ml.base import Scores
from pointsman.ml.checkpoint import BadCheckpoint, Checkpoint, Packed, unpack
from pointsman.ml.custom import check_scores
from pointsman.ml.decision import Prospect, decide, setting_of
from pointsman.ml.files import MANIFEST, TENSORS, write
from pointsman.ml.knobs import Wish
from pointsman.ml.learned import Learned
from pointsman.pipeline.checkpoints import Kept

COUNT = 10_000
ROOM_BYTES = 128 << 20
"""What reading small checkpoints may come to, the stacks of threads included."""
HARMFUL = (
    "compile",
    "exec",
    "import",
    "os.",
    "pickle",
    "subprocess",
    "socket",
    "shutil",
    "ctypes",
    "marshal",
    "tempfile",
)
TEXTS = ("", "why prove the sum", "rail way " * 500, "\x00\ud800 points 国")


STATM = Path("/proc/self/statm")


class Watched:
    """What the interpreter is asked to do while ``is_on``."""

    def __init__(self) -> None:
        self.is_on = False
        self.directory = ""
        self.seen: list[str] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        is_outside = event == "open" and not str(arguments[0]).startswith((self.directory, str(STATM)))
        if is_outside or event.startswith(HARMFUL):
            self.seen.append(f"{event} {arguments!r}"[:200])


watched = Watched()


@contextmanager
def limited() -> Iterator[None]:
    """Memory for little more than there is in use."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(STATM.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def put(directory: Path, packed: Packed) -> None:
    for name, data in ((TENSORS, packed.tensors), (MANIFEST, packed.manifest)):
        (directory / name).unlink()  # a file system may take its time to cut one that is there
        (directory / name).write_bytes(data)


async def replaced(kept: Kept[Learned], spoilt: Spoilt) -> bool | str:
    """Whether it was taken, or why it was not."""
    put(kept.directory, spoilt.packed)
    watched.is_on = True
    try:
        with limited():
            return await kept.reload()
    except BadCheckpoint as error:
        return error.what
    finally:
        watched.is_on = False


def built(checkpoint: Checkpoint) -> Learned:
    return Learned.from_checkpoint(checkpoint, {REMOTE.id: REMOTE})


def expect_serving(learned: Learned) -> None:
    """It scores whatever is asked, and can be decided by; so does who stands in for it."""
    if learned.local is not None:
        expect_serving(learned.local)
    scores: Scores = learned.score(learned.features(TEXTS, ("",) * len(TEXTS)))
    check_scores(scores, len(TEXTS), len(learned.candidates.names))
    for wish in (Wish(), Wish(quality=0.3), Wish(max_cost_usd=0.001), Wish(min_quality=0.9)):
        setting = setting_of(wish, learned.frontier, learned.policy)
        prospect = Prospect.of(scores, 0, learned.candidates)
        assert decide(learned.candidates, prospect, setting).model in learned.candidates.names


def files_in(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.fixture(scope="module")
def checkpoints() -> dict[str, Packed]:
    return trained()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.requirement("routing.checkpoint.mutated")
async def test_ten_thousand_spoilt_checkpoints_do_no_harm(
    checkpoints: dict[str, Packed], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    good = checkpoints["auto"]
    write(tmp_path / "router", good)
    kept = Kept("auto", tmp_path / "router", built, now=lambda: 0.0)
    kept.load()
    for packed in (*checkpoints.values(), good):  # what is imported and compiled but once
        put(kept.directory, packed)
        await kept.reload()
        expect_serving(kept.current)
    watched.directory = str(kept.directory)
    known = {unpack(*packed).manifest.id for packed in checkpoints.values()}
    taken = 0
    for i, spoilt in enumerate(spoil(list(checkpoints.values()), COUNT, seed=11)):
        before = kept.current
        outcome = await replaced(kept, spoilt)
        assert "MemoryError" not in str(outcome), i
        if outcome is True:
            # Where no sum was made anew, at most white space has changed.
            assert spoilt.is_sealed or kept.status()["id"] in known, i
            taken += 1
            expect_serving(kept.current)
        else:
            assert kept.current is before, i
    assert watched.seen == []
    assert files_in(tmp_path) == {"router", f"router/{MANIFEST}", f"router/{TENSORS}"}
    assert taken < COUNT / 3
    put(kept.directory, good)
    await kept.reload()
    assert kept.current.candidates.names == MODELS
    assert np.isfinite(kept.current.score(kept.current.features(["why"])).quality).all()


def test_what_would_do_harm_is_seen(tmp_path: Path) -> None:
    watched.directory = str(tmp_path)
    watched.is_on = True
    try:
        (tmp_path / "inside").write_bytes(b"")
        Path(__file__).read_bytes()
        compile("1", "here", "eval")
    finally:
        watched.is_on = False
    events = [seen.partition(" ")[0] for seen in watched.seen]
    watched.seen.clear()
    assert events == ["open", "compile"]


def test_all_of_what_is_spoilt_begins_as_what_can_be_used(checkpoints: dict[str, Packed], tmp_path: Path) -> None:
    for name, packed in checkpoints.items():
        write(tmp_path / name, packed)
        expect_serving(Kept(name, tmp_path / name, built, now=lambda: 0.0).load())
