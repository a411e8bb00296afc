"""The process of a stdio server with its pipes.

The process that is started is the keeper (:mod:`pointsman.mcp.keeper`), which leads a group and session of its own;
the server is in that group. The pipes are the server's own. Its input is a pipe and no socket, because of a pipe the
kernel tells how much of it nobody has read: so it is known of each message whether a server that died can have acted on
it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol, cast

import msgspec

from pointsman.mcp import keeper
from pointsman.mcp.protocol.lines import Lines, TooLong
from pointsman.mcp.transports.pulse import Pulse

WORD_BYTES: Final = 4000
"""Of a line of the error output; of a longer one only the begin is told."""
MAX_WAITING_BYTES: Final = 1_000_000
"""That the server has not read, beside what the pipe holds, when more is to be written."""
_PID_BYTES: Final = 20
REMNANT_SECONDS: Final = 1.0
"""That output may still be open when the process is gone: somebody unknown holds it."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What is run, and under which limits."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """All of the environment."""
    cwd: str | None = None
    max_line: int
    """Bytes of a message."""
    max_memory: int = 0
    """Bytes of all its processes together; 0: no limit."""


class Listener(Protocol):
    """Hears of a process."""

    def on_line(self, line: bytes | TooLong) -> None:
        """It has written a line."""

    def on_word(self, line: bytes | TooLong) -> None:
        """It has written a line of its error output."""

    def on_gone(self, status: int) -> None:
        """It has ended and will write nothing more. Once.

        ``status`` is that of its exit, or 128 and the number of the signal that has ended it.
        """


class Child:
    """A process, from :meth:`start` on."""

    def __init__(self, command: Command, listener: Listener) -> None:
        self._command = command
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._process = cast("asyncio.SubprocessTransport", None)
        self._input = cast("Inlet", None)
        self._lifeline: socket.socket | None = None
        self._pulse: Pulse | None = None
        self._outputs: list[asyncio.ReadTransport] = []
        self._status: int | None = None
        self._is_mute = False
        """Whether its output has ended."""
        self.started = self._loop.time()
        self.bytes_read: int = 0
        """How much of what was written to it it has read; known when it is gone."""
        self.is_ending = False
        """Whether this side has told it to end."""

    @property
    def pid(self) -> int:
        """Of its keeper, and of the group that it is in."""
        return self._process.get_pid()

    @property
    def is_started(self) -> bool:
        """Whether there is, or was, a process."""
        return self._input is not None

    @property
    def is_alive(self) -> bool:
        """Whether it can be talked to, as far as is known."""
        if self._is_mute or self.is_ending:
            return False
        if self._pulse is None:
            self._pulse = self._feel()
        return self._pulse is None or self._pulse.beats

    async def start(self) -> None:
        """Start it.

        :raises OSError: the system has no room for it, or there is no such directory
        """
        (their_input, our_input), (our_output, their_output), (our_errors, their_errors) = [os.pipe() for _ in range(3)]
        listened, self._lifeline = socket.socketpair()
        try:
            await self._loop.subprocess_exec(
                lambda: _Process(self),
                *(sys.executable, "-I", "-S", keeper.__file__, str(listened.fileno()), str(self._command.max_memory)),
                *self._command.argv,
                stdin=their_input,
                stdout=their_output,
                stderr=their_errors,
                env=dict(self._command.env),
                cwd=self._command.cwd,
                pass_fds=(listened.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            for each in (our_input, our_output, our_errors):
                os.close(each)
            self._lifeline.close()
            raise
        finally:
            for each in (their_input, their_output, their_errors):
                os.close(each)
            listened.close()
        self._input = Inlet(our_input)
        await self._read(our_output, self._command.max_line, self._listener.on_line, self.fall_mute)
        await self._read(our_errors, WORD_BYTES, self._listener.on_word, lambda: None)

    async def _read(
        self, pipe: int, limit: int, on_line: Callable[[bytes | TooLong], None], on_end: Callable[[], None]
    ) -> None:
        outlet = _Outlet(Lines(limit), on_line, on_end)
        transport, _ = await self._loop.connect_read_pipe(lambda: outlet, os.fdopen(pipe, "rb", 0))
        self._outputs.append(transport)

    async def write(self, line: bytes) -> int:
        """Send a line, with its end, as soon as there is room for it. Gives how much it has read when it has read that.

        Whether it ever will is told by nobody.
        """
        await self._input.room()
        return self._input.put(line)

    def end(self) -> None:
        """Have it end soon: it sees the end of its input, and the keeper does the rest."""
        self.is_ending = True
        self._close()

    def kill(self) -> None:
        """Have it end now."""
        if self._lifeline is not None:
            with suppress(OSError):
                self._lifeline.send(b"!")
        self._close()

    def _feel(self) -> Pulse | None:
        """The server's own pulse, once the keeper has said which process that is."""
        assert self._lifeline is not None
        with suppress(BlockingIOError):
            told = self._lifeline.recv(_PID_BYTES, socket.MSG_DONTWAIT)
            return Pulse(int(told)) if told else None
        return None

    def _close(self) -> None:
        if self._lifeline is not None:
            self.bytes_read = self._input.bytes_read
            self._input.close()
            self._lifeline.close()
            self._lifeline = None
        if self._pulse is not None:
            self._pulse.close()

    def begin(self, process: asyncio.SubprocessTransport) -> None:
        """The keeper runs."""
        self._process = process

    def fall_mute(self) -> None:
        """Its output has ended, so it is about to end, or has to."""
        if not self._is_mute:
            self._is_mute = True
            self._close()
            self._tell()

    def leave(self) -> None:
        """The keeper has ended."""
        self._status = cast("int", self._process.get_returncode())
        if self._status < 0:
            # It was killed itself, and has killed nobody.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.close()
        self._loop.call_later(REMNANT_SECONDS, self._let_go)
        self._tell()

    def _let_go(self) -> None:
        for each in self._outputs:
            each.close()
        self.fall_mute()

    def _tell(self) -> None:
        if self._is_mute and self._status is not None:
            self._listener.on_gone(self._status if self._status >= 0 else 128 - self._status)


class Inlet:
    """Writes to a pipe and knows what of it was read. Owns the pipe."""

    def __init__(self, pipe: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe = pipe
        self._waiting = bytearray()
        self._accepted = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        os.set_blocking(pipe, False)

    @property
    def bytes_read(self) -> int:
        """What the other end has taken out of it. Not known of a pipe that is closed."""
        unread: int = struct.unpack("i", fcntl.ioctl(self._pipe, termios.FIONREAD, b"\0" * 4))[0]
        return self._accepted - unread

    async def room(self) -> None:
        """Wait until not too much waits."""
        while not self._has_room.is_set():
            await self._has_room.wait()

    def put(self, data: bytes) -> int:
        """Write it, at once or when the pipe has room; gives the bytes that are written by then."""
        is_waiting = bool(self._waiting)
        self._waiting += data
        if not is_waiting and self._pipe >= 0:
            self._flush()
        return self._accepted + len(self._waiting)

    def close(self) -> None:
        """Give up what waits, and tell the other end that this was all."""
        if self._pipe < 0:
            return
        self._loop.remove_writer(self._pipe)
        os.close(self._pipe)
        self._pipe = -1
        self._has_room.set()

    def _flush(self) -> None:
        try:
            sent = os.write(self._pipe, self._waiting)
        except BlockingIOError:
            sent = 0
        except OSError:
            # Nobody reads any more. What waits stays unread, and the output tells the rest.
            self._loop.remove_writer(self._pipe)
            return
        self._accepted += sent
        del self._waiting[:sent]
        if self._waiting:
            self._loop.add_writer(self._pipe, self._flush)
        else:
            self._loop.remove_writer(self._pipe)
        if len(self._waiting) > MAX_WAITING_BYTES:
            self._has_room.clear()
        else:
            self._has_room.set()


class _Outlet(asyncio.Protocol):
    def __init__(self, lines: Lines, on_line: Callable[[bytes | TooLong], None], on_end: Callable[[], None]) -> None:
        self._lines = lines
        self._on_line = on_line
        self._on_end = on_end

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line:
                self._on_line(line)

    def connection_lost(self, _: Exception | None) -> None:
        self._on_end()


class _Process(asyncio.SubprocessProtocol):
    def __init__(self, child: Child) -> None:
        self._child = child

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._child.begin(cast("asyncio.SubprocessTransport", transport))

    def process_exited(self) -> None:
        self._child.leave()
