from __future__ import annotations

import asyncio
import random

import pytest

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from pointsman.pipeline.recording import PACE_BYTES, REPLAYED, Recording
from pointsman.wire.replies import Flow

LINES = b"content-type: text/event-stream\r\nx-request-id: first\r\nx-litellm-model-id: d\r\n"
FIRST = b"x-request-id: first\r\n"
AGAIN = b"x-request-id: again\r\n"
ERROR = b'data: {"error":{"message":"cut"}}\n\n'
LIMIT = 4 * PACE_BYTES


class Client:
    """Keeps the reply. Tells its flow to wait while it holds ``capacity`` bytes or more that it has not read."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.is_settled = False
        self.is_started = False
        self.is_finished = False
        self.is_cut = False
        self.head: tuple[int, bytes, int | None] | None = None
        self.body = b""
        self.flow: Flow | None = None
        self._capacity = capacity
        self._unread = 0
        self.most_unread = 0

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        raise AssertionError("a reader gets head, pieces and end")

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        assert not self.is_started
        self.is_started = True
        self.head = (status, headers, length)

    def write(self, piece: bytes) -> None:
        assert self.is_started
        assert piece
        assert not self.is_finished
        assert not self.is_cut
        self.body += piece
        self._unread += len(piece)
        self.most_unread = max(self.most_unread, self._unread)
        self._tell()

    def finish(self) -> None:
        assert not self.is_cut
        assert not self.is_finished
        self.is_finished = True

    def cut(self) -> None:
        assert not self.is_cut
        self.is_cut = True

    def flow_to(self, flow: Flow | None) -> None:
        self.flow = flow
        self._tell()

    def take(self, size: int = 1 << 40) -> None:
        """Read ``size`` bytes."""
        self._unread = max(0, self._unread - size)
        if self.flow is not None and self._unread < self._capacity:
            self.flow.resume()

    def _tell(self) -> None:
        if self.flow is not None and self._unread >= self._capacity:
            self.flow.pause()


class Room:
    """Memory for ``limit`` bytes."""

    def __init__(self, limit: int = 1 << 40) -> None:
        self.limit = limit
        self.used = 0
        self.asked = 0

    def has_room(self, size: int) -> bool:
        self.asked += 1
        return self.used + size <= self.limit

    def take(self, size: int) -> None:
        self.used += size
        assert self.used >= 0


class Producer:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


class Rig:
    """A recording, and those who read it."""

    def __init__(self, limit: int = LIMIT, room: int = 1 << 40) -> None:
        self.room = Room(room)
        self.recording = Recording(FIRST, self.room, limit)
        self.producer = Producer()
        self.tasks: dict[Client, asyncio.Task[None]] = {}

    async def join(self, client: Client | None = None, identity: bytes | None = None) -> Client:
        client = client or Client()
        self.tasks[client] = asyncio.create_task(self.recording.read(client, identity))
        await asyncio.sleep(0)
        return client

    async def leave(self, client: Client) -> None:
        self.tasks[client].cancel()
        await asyncio.wait([self.tasks.pop(client)])

    def start(self) -> None:
        self.recording.start(200, LINES)
        self.recording.flow_to(self.producer)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def pieces(*sizes: int) -> list[bytes]:
    """Pieces that can be told apart."""
    return [bytes([65 + number % 26]) * size for number, size in enumerate(sizes)]


async def test_the_first_reader_gets_each_piece_in_the_call_that_brings_it(rig: Rig) -> None:
    client = await rig.join()
    rig.start()
    assert client.head == (200, LINES, None)
    rig.recording.write(b"ab")
    rig.recording.write(b"c")
    assert (client.body, client.is_finished) == (b"abc", False)
    rig.recording.finish()
    assert (client.body, client.is_finished) == (b"abc", True)
    await rig.tasks[client]


async def test_a_whole_reply_keeps_its_length(rig: Rig) -> None:
    client = await rig.join()
    rig.recording.reply(200, LINES, b"whole")
    late = await rig.join()
    for reader in (client, late):
        assert (reader.head and reader.head[2], reader.body, reader.is_finished) == (5, b"whole", True)
        await rig.tasks[reader]


async def test_a_later_reader_gets_everything_from_the_beginning_and_then_what_comes(rig: Rig) -> None:
    rig.start()
    rig.recording.write(b"one ")
    rig.recording.write(b"two ")
    late = await rig.join(identity=AGAIN)
    assert late.body == b"one two "
    rig.recording.write(b"three")
    assert late.body == b"one two three"
    rig.recording.finish()
    after = await rig.join(identity=AGAIN)
    assert (after.body, after.is_finished) == (b"one two three", True)
    await asyncio.gather(*rig.tasks.values())


async def test_a_repeated_request_is_named_as_itself_and_as_a_repetition(rig: Rig) -> None:
    rig.start()
    again = await rig.join(identity=AGAIN)
    assert again.head == (200, LINES.replace(FIRST, AGAIN) + REPLAYED, None)
    rig.recording.finish()


async def test_an_empty_body_is_an_answer(rig: Rig) -> None:
    rig.recording.reply(200, LINES, b"")
    late = await rig.join()
    assert (late.body, late.is_finished) == (b"", True)


async def test_a_reader_that_waits_is_given_the_rest_when_it_reads_again(rig: Rig) -> None:
    slow, quick = await rig.join(Client(capacity=3)), await rig.join()
    rig.start()
    for piece in (b"abc", b"def", b"ghi"):
        rig.recording.write(piece)
    rig.recording.finish()
    assert (slow.body, quick.body) == (b"abc", b"abcdefghi")
    assert (slow.is_finished, quick.is_finished) == (False, True)
    slow.take()
    assert (slow.body, slow.is_finished) == (b"abcdefghi", True)
    await asyncio.gather(*rig.tasks.values())


async def test_a_client_that_does_not_read_when_it_joins_is_given_the_head_only(rig: Rig) -> None:
    rig.start()
    rig.recording.write(b"abc")
    client = await rig.join(Client(capacity=0))
    assert (client.is_started, client.body) == (True, b"")
    rig.recording.finish()


async def test_what_is_replayed_is_cut_to_size_and_stops_when_the_client_does(rig: Rig) -> None:
    rig.start()
    rig.recording.write(b"x" * (3 * PACE_BYTES))
    client = await rig.join(Client(capacity=1))
    assert client.most_unread == PACE_BYTES
    for _ in range(2):
        client.take()
    assert len(client.body) == 3 * PACE_BYTES
    assert client.most_unread == PACE_BYTES
    rig.recording.finish()


# -- the producer's pace ------------------------------------------------------------------------------------------


async def test_the_producer_waits_while_the_only_reader_is_far_behind(rig: Rig) -> None:
    client = await rig.join(Client(capacity=1))
    rig.start()
    rig.recording.write(b"x")
    rig.recording.write(b"x" * PACE_BYTES)
    assert rig.producer.told == []
    rig.recording.write(b"x")
    assert rig.producer.told == ["pause"]
    client.take()
    assert rig.producer.told == ["pause", "resume"]
    rig.recording.finish()


async def test_the_quickest_reader_sets_the_pace(rig: Rig) -> None:
    slow, quick = await rig.join(Client(capacity=1)), await rig.join(Client(capacity=2 * PACE_BYTES))
    rig.start()
    for _ in range(3):
        rig.recording.write(b"x" * PACE_BYTES)
    assert rig.producer.told == []
    rig.recording.write(b"x")
    assert rig.producer.told == ["pause"]
    quick.take()
    assert rig.producer.told == ["pause", "resume"]
    assert len(slow.body) == PACE_BYTES
    rig.recording.finish()


async def test_when_the_quickest_reader_leaves_the_next_one_sets_the_pace(rig: Rig) -> None:
    slow, quick = await rig.join(Client(capacity=1)), await rig.join()
    rig.start()
    rig.recording.write(b"x" * (2 * PACE_BYTES + 1))
    await rig.leave(quick)
    assert rig.producer.told == ["pause"]
    await rig.leave(slow)
    assert rig.producer.told == ["pause", "resume"]


async def test_without_readers_the_call_goes_on(rig: Rig) -> None:
    rig.start()
    for piece in pieces(*[PACE_BYTES] * 10):
        rig.recording.write(piece)
    rig.recording.finish()
    assert rig.producer.told == []
    assert rig.recording.is_success


async def test_a_producer_that_comes_while_readers_wait_is_told_so(rig: Rig) -> None:
    await rig.join(Client(capacity=1))
    rig.recording.start(200, LINES)
    rig.recording.write(b"x" * (2 * PACE_BYTES + 1))
    rig.recording.flow_to(rig.producer)
    assert rig.producer.told == ["pause"]
    other = Producer()
    rig.recording.flow_to(other)
    assert other.told == ["pause"]
    rig.recording.flow_to(None)
    rig.recording.finish()


# -- bounds -------------------------------------------------------------------------------------------------------


async def test_beyond_its_limit_an_answer_goes_on_for_those_who_read_it_and_for_nobody_else(rig: Rig) -> None:
    client = await rig.join()
    rig.start()
    rig.recording.write(b"x" * LIMIT)
    assert (rig.recording.is_joinable, rig.room.used) == (True, LIMIT)
    rig.recording.write(b"y")
    assert (rig.recording.is_joinable, rig.room.used) == (False, 0)
    rig.recording.write(b"z" * 2 * LIMIT)
    rig.recording.finish()
    assert client.body == b"x" * LIMIT + b"y" + b"z" * 2 * LIMIT
    assert (client.is_finished, rig.recording.is_success, rig.room.used) == (True, True, 0)


async def test_what_nobody_will_read_is_not_kept_and_takes_no_others_room(rig: Rig) -> None:
    rig.start()
    rig.recording.write(b"x" * (LIMIT + 1))
    asked = rig.room.asked
    rig.recording.write(b"y" * 7)
    assert (rig.recording.end, rig.room.used, rig.room.asked) == (LIMIT + 8, 0, asked)


async def test_when_all_memory_is_taken_no_more_is_kept() -> None:
    rig = Rig(room=100)
    client = await rig.join()
    rig.start()
    rig.recording.write(b"x" * 100)
    assert rig.recording.is_joinable
    rig.recording.write(b"y")
    assert (rig.recording.is_joinable, rig.room.used) == (False, 0)
    assert client.body == b"x" * 100 + b"y"
    rig.recording.finish()


async def test_of_two_readers_the_one_that_is_far_behind_is_cut_when_memory_is_short(rig: Rig) -> None:
    slow, quick = await rig.join(Client(capacity=1)), await rig.join()
    rig.start()
    for piece in pieces(1, LIMIT - 1):
        rig.recording.write(piece)
    assert not slow.is_cut
    rig.recording.write(b"!!")
    assert (slow.is_cut, slow.body) == (True, b"A")
    assert (quick.is_cut, len(quick.body)) == (False, LIMIT + 2)
    await rig.tasks[slow]
    assert (rig.producer.told, rig.room.used) == ([], 0)
    slow.take()
    assert slow.body == b"A"
    rig.recording.finish()
    assert quick.is_finished


async def test_a_reader_that_is_alone_is_never_cut(rig: Rig) -> None:
    client = await rig.join(Client(capacity=1))
    rig.start()
    sent = pieces(1, 2 * LIMIT, 2 * LIMIT)
    for piece in sent:
        rig.recording.write(piece)
    rig.recording.finish()
    assert rig.producer.told == ["pause"]
    while not client.is_finished:
        client.take()
    assert client.body == b"".join(sent)
    assert not client.is_cut
    assert rig.room.used == 0
    assert rig.producer.told == ["pause"], "what has ended is not resumed"


async def test_a_reader_that_is_a_little_behind_is_not_cut(rig: Rig) -> None:
    slow, quick = await rig.join(Client(capacity=LIMIT)), await rig.join()
    rig.start()
    rig.recording.write(b"x" * LIMIT)
    rig.recording.write(b"y" * PACE_BYTES)
    rig.recording.write(b"z")
    assert not slow.is_cut
    assert rig.room.used == PACE_BYTES + 1
    slow.take()
    assert slow.body == quick.body
    assert rig.room.used == 0
    rig.recording.finish()


async def test_a_reader_that_is_a_little_behind_is_not_cut_however_little_memory_there_is() -> None:
    rig = Rig(limit=100)
    slow, quick = await rig.join(Client(capacity=1)), await rig.join()
    rig.start()
    for size in (1, 60, PACE_BYTES - 60):
        rig.recording.write(b"x" * size)
    rig.recording.finish()
    assert not slow.is_cut
    slow.take()
    assert slow.body == quick.body


async def test_a_forgotten_answer_stays_for_who_is_reading_it(rig: Rig) -> None:
    client = await rig.join(Client(capacity=1))
    rig.start()
    rig.recording.write(b"x" * (2 * PACE_BYTES))
    rig.recording.finish()
    rig.recording.forget()
    assert (rig.recording.is_joinable, rig.room.used) == (False, PACE_BYTES)
    client.take()
    assert (len(client.body), client.is_finished) == (2 * PACE_BYTES, True)
    assert rig.room.used == 0


async def test_a_reader_that_leaves_frees_what_was_kept_for_it(rig: Rig) -> None:
    client = await rig.join(Client(capacity=1))
    rig.start()
    rig.recording.write(b"x" * (2 * PACE_BYTES))
    rig.recording.finish()
    rig.recording.forget()
    await rig.leave(client)
    assert rig.room.used == 0


@pytest.mark.requirement("idempotency.bounds")
@pytest.mark.parametrize("seed", range(20))
async def test_whatever_readers_do_they_get_the_same_bytes_in_bounded_memory(seed: int) -> None:
    chance = random.Random(seed)
    rig = Rig(limit=chance.choice([100, 3 * PACE_BYTES, 1 << 30]), room=chance.choice([200, 2 * PACE_BYTES, 1 << 30]))
    rig.start()
    clients: list[Client] = []
    sent = b""
    for _ in range(60):
        for _ in range(chance.randrange(3)):
            if clients:
                chance.choice(clients).take(chance.randrange(PACE_BYTES))
        if rig.recording.is_joinable and chance.random() < 0.2:
            clients.append(await rig.join(Client(capacity=chance.choice([1, 1000, PACE_BYTES, 1 << 40]))))
        piece = chance.randbytes(chance.choice([1, 100, 10_000, 80_000]))
        rig.recording.write(piece)
        sent += piece
        assert len(rig.recording._kept) == rig.room.used
    rig.recording.finish()
    rig.recording.forget()
    for client in clients:
        while not (client.is_finished or client.is_cut):
            client.take()
        assert client.body == sent if client.is_finished else sent.startswith(client.body)
    await asyncio.gather(*rig.tasks.values())
    assert rig.room.used == 0


# -- failures -----------------------------------------------------------------------------------------------------


async def test_a_failure_before_the_answer_is_every_readers(rig: Rig) -> None:
    first, again = await rig.join(), await rig.join(identity=AGAIN)
    rig.recording.fail(UpstreamTimeout())
    after = await rig.join(identity=AGAIN)
    for client in (first, again, after):
        with pytest.raises(UpstreamTimeout):
            await rig.tasks[client]
        assert not client.is_started
        assert not client.is_cut


@pytest.mark.parametrize("error", [None, UpstreamTimeout()])
async def test_a_failure_later_cuts_every_reader(rig: Rig, error: GatewayError | None) -> None:
    clients = [await rig.join(), await rig.join(Client(capacity=1))]
    rig.start()
    rig.recording.write(b"abc")
    rig.recording.write(b"def")
    if error is None:
        rig.recording.cut()
    else:
        rig.recording.fail(error)
    await asyncio.gather(*rig.tasks.values())
    assert [client.is_cut for client in clients] == [True, True]
    assert (rig.recording.is_over, rig.recording.is_whole, rig.recording.is_success) == (True, False, False)


async def test_who_joins_what_was_cut_is_told_so(rig: Rig) -> None:
    rig.start()
    rig.recording.cut()
    client = await rig.join(identity=AGAIN)
    with pytest.raises(UpstreamBroken):
        await rig.tasks[client]


@pytest.mark.parametrize(
    ("status", "lines", "body", "is_success"),
    [
        (200, LINES, (b"data: {}\n\n", b"data: [DONE]\n\n"), True),
        (200, LINES, (b"data: {}\n\n", ERROR), False),
        (200, LINES, (b"data: {}\n\n", ERROR, b"data: [DONE]\n\n"), False),
        (200, LINES, (b"data: {}\n\n", b": " + b"x" * LIMIT + b"\n\n"), True),
        (200, LINES, (b"data: {}\n\n", b": " + b"x" * LIMIT + b"\n\n", ERROR), False),
        (200, b"content-type: application/json\r\n", (b'{"choices":[]}',), True),
        (200, b"content-type: application/json\r\n", (b'{"error":{}, "choices":[]}',), True),
        (200, b"content-type: application/json\r\n", (b'{"error":{"code":1}}',), False),
        (200, b"content-type: audio/mpeg\r\n", (b"ID3", b"\xff"), True),
        (200, b"content-type: audio/mpeg\r\n", (b"ID3", b"\xff" * LIMIT), True),
        (500, b"content-type: application/json\r\n", (b"{}",), False),
    ],
)
async def test_an_answer_that_tells_of_a_failure_is_no_success(
    rig: Rig, status: int, lines: bytes, body: tuple[bytes, ...], is_success: bool
) -> None:
    rig.recording.start(status, lines)
    for piece in body:
        rig.recording.write(piece)
    assert not rig.recording.is_success
    rig.recording.finish()
    assert rig.recording.is_success is is_success
    assert rig.recording._last == b""
