"""``pointsman serve``: read the configuration, say where the gateway is, and run it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import resource
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import click
from uvicorn import Config

from pointsman import app
from pointsman.assembly.accounts import ALONE, check_stores, is_store_there
from pointsman.cli.state import AdminKey, admin_key, data_directory, used
from pointsman.cli.workers import Supervisor, spawn
from pointsman.config.outcomes import Refused
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.base import SourceDown
from pointsman.config.sources.settings import BadSetting
from pointsman.config.starting import Origin, begin
from pointsman.edge.asgi import Lifespan
from pointsman.edge.drain import DrainingServer, DrainSettings
from pointsman.edge.line import Peers
from pointsman.edge.loop import BACKLOG
from pointsman.edge.server import Connection
from pointsman.store.lending import Lender
from pointsman.store.opening import CannotOpen
from pointsman.store.pepper import NoPepper
from pointsman.telemetry.logs import Logs

STOP_SECONDS = 10.0
"""Within these a worker has stopped when its last request has ended."""
DEMO_MODEL = "demo/small"


@click.command()
@click.option(
    "--config",
    "-c",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CONFIG_FILE_PATH",
    help="A LiteLLM config.yaml. Without one, the provider keys in the environment are used.",
)
@click.option("--host", default=None, envvar="HOST", help="Default: 0.0.0.0 with a master key, 127.0.0.1 without.")
@click.option("--port", default=4000, envvar="PORT", show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=1, envvar="NUM_WORKERS", show_default=True, type=click.IntRange(1, 256))
@click.option("--allow-unauthenticated", is_flag=True, help="Listen beyond loopback although no key is asked for.")
@click.option(
    "--drain-delay",
    default=5.0,
    envvar="DRAIN_DELAY",
    show_default=True,
    type=click.FloatRange(0, 3600),
    help="Seconds from SIGTERM, when readiness fails, until no more connections are accepted.",
)
@click.option(
    "--drain-timeout",
    default=600.0,
    envvar="DRAIN_TIMEOUT",
    show_default=True,
    type=click.FloatRange(0, 86_400),
    help="Seconds that requests may go on after that.",
)
@click.option(
    "--inherited",
    type=int,
    nargs=3,
    hidden=True,
    help="A worker's listening socket, line to its parent, and its loans.",
)
@click.option("--as-kept", is_flag=True, hidden=True, help="A worker begins with what is in force.")
def serve(
    config_file: Path | None,
    host: str | None,
    port: int,
    workers: int,
    allow_unauthenticated: bool,
    drain_delay: float,
    drain_timeout: float,
    *,
    inherited: tuple[int, int, int] | None,
    as_kept: bool,
) -> None:
    """Run the gateway."""
    # Until it has a meaning, it shall not end what is still beginning.
    for early in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(early, signal.SIG_IGN)
    at = f"{host or ''}:{port}"
    is_worker, has_heirs = inherited is not None, workers > 1
    _calculate_in_one_thread()
    snapshot, key, origin = _load(config_file, at, is_worker=is_worker, is_heir=as_kept, has_heirs=has_heirs)
    if allow_unauthenticated:
        snapshot = snapshot.open_on_purpose()
    _raise_open_files()
    drain = DrainSettings(delay=drain_delay, timeout=drain_timeout)
    line = loans = None
    if inherited is None:
        listener = _listen(_address(host, snapshot, allow_unauthenticated), port)
        _announce(snapshot, key, listener)
    else:
        listener, line, loans = _inherit(inherited, snapshot, allow_unauthenticated)
    with nullcontext() if is_worker else _using(snapshot):
        if workers > 1:
            command = _command(config_file, host, port, allow_unauthenticated, drain, is_kept=origin.is_kept)
            code = asyncio.run(_supervise(listener, workers, drain, command))
        else:
            complete = partial(_completed, listener.getsockname()[0], allow_unauthenticated)
            code = _run(snapshot, listener, drain, (line, loans), origin, complete)
    raise click.exceptions.Exit(code)


def _run(
    snapshot: Snapshot,
    listener: socket.socket,
    drain: DrainSettings,
    family: tuple[socket.socket | None, socket.socket | None],
    origin: Origin,
    complete: Callable[[Snapshot], Snapshot],
) -> int:
    """Serve in this process; the exit code says whether nothing was cut short.

    ``family``: what a worker inherits, its line and its loans.
    """
    line, loans = family
    peers = None if line is None else Peers(line)
    data = data_directory(os.environ)
    settings = Config(
        Lifespan(partial(app.running, snapshot, data, origin, complete, peers, loans)),
        http=Connection,
        ws="none",
        loop="pointsman.edge.loop:eager_loop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
    )
    server = DrainingServer(settings, drain, peers)
    server.run(sockets=[listener])
    return 0 if server.is_clean else 1


def _completed(host: str, allow_unauthenticated: bool, snapshot: Snapshot) -> Snapshot:
    """A snapshot that was loaded while serving at ``host``, with the key that the gateway has made.

    :raises Refused: this process must not serve it
    """
    try:
        if snapshot.is_master_key_automatic:
            snapshot = snapshot.with_master_key(admin_key(data_directory(os.environ)).secret)
        _address(host, snapshot, allow_unauthenticated)
    except click.ClickException as error:
        raise Refused(error.message) from error
    return snapshot.open_on_purpose() if allow_unauthenticated else snapshot


async def _supervise(listener: socket.socket, count: int, drain: DrainSettings, command: Sequence[str]) -> int:
    """Keep workers serving; the exit code says whether none had to be killed."""
    logs = Logs(sys.stderr, is_terminal=sys.stderr.isatty())
    logs.start()
    lender = Lender()
    try:
        patience = drain.delay + drain.timeout + STOP_SECONDS
        start = partial(spawn, command, listener, lend=lender.serve)
        return await Supervisor(start, listener, count=count, patience=patience).run()
    finally:
        lender.close()
        logs.close()


def _command(
    config_file: Path | None,
    host: str | None,
    port: int,
    allow_unauthenticated: bool,
    drain: DrainSettings,
    *,
    is_kept: bool,
) -> list[str]:
    """What a worker is started with; it finds keys where its parent did."""
    # -P: a module that lies in the directory of whoever starts the gateway is none of ours.
    command = [sys.executable, "-P", "-m", "pointsman", "serve", "--workers", "1"]
    # It listens on what it inherits; what is kept is named by the address.
    command += ["--port", str(port), *(() if host is None else ("--host", host))]
    command += ["--drain-delay", str(drain.delay), "--drain-timeout", str(drain.timeout)]
    if config_file is not None:
        command += ["--config", str(config_file)]
    if allow_unauthenticated:
        command.append("--allow-unauthenticated")
    if is_kept:
        command.append("--as-kept")
    return command


def _inherit(
    descriptors: tuple[int, int, int], snapshot: Snapshot, allow_unauthenticated: bool
) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener, line, loans = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    try:
        # A configuration that was changed since may not ask for a key any more.
        _address(listener.getsockname()[0], snapshot, allow_unauthenticated)
    except click.ClickException:
        for inherited in (listener, line, loans):
            inherited.close()
        raise
    for inherited in (listener, line, loans):
        inherited.set_inheritable(False)
    return listener, line, loans


@contextmanager
def _using(snapshot: Snapshot) -> Iterator[None]:
    """Say it if another gateway has the same keys out of the same file, and counts for itself what they use."""
    directory, stores = data_directory(os.environ), snapshot.stores
    if stores.records is not None or not is_store_there(None, directory):
        yield
        return
    with used(directory) as is_alone:
        if not is_alone and stores.counters is None:
            click.echo(f"warning: another gateway uses {directory}: {ALONE}", err=True)
        yield


def _raise_open_files() -> None:
    """Allow as many open files as the system does: a shell's 1024 are five hundred streams."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems call the limit infinite and refuse it: then it stays as it is.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _calculate_in_one_thread() -> None:
    """What chooses a model is done before other threads have woken, and those of all workers would share the cores."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _load(
    file: Path | None, at: str, *, is_worker: bool, is_heir: bool, has_heirs: bool
) -> tuple[Snapshot, AdminKey | None, Origin]:
    directory = data_directory(os.environ)
    try:
        loaded, origin = begin(file, os.environ, directory, is_heir=is_heir, has_heirs=has_heirs, at=at)
    except (BadSetting, SourceDown) as error:
        raise click.ClickException(str(error)) from error
    snapshot = loaded.snapshot
    if snapshot is None or not is_worker:
        for said in (*_about(file, origin), *loaded.problems):
            click.echo(str(said), err=True)
    if snapshot is None:
        raise click.exceptions.Exit(1)
    try:
        check_stores(snapshot.stores, directory, os.environ)
    except (CannotOpen, NoPepper) as error:
        raise click.ClickException(str(error)) from error
    if not snapshot.is_master_key_automatic:
        return snapshot, None, origin
    key = admin_key(directory)
    return snapshot.with_master_key(key.secret), key, origin


def _about(file: Path | None, origin: Origin) -> Iterator[str]:
    """What an operator should know of where the config comes from."""
    address = origin.settings.address
    if address is not None:
        yield f"The config comes from {address}" + ("" if file is None else f"; {file} is not read")
    for said in (origin.problem, *origin.notes):
        if said is not None:
            yield f"warning: {said}"


def _address(host: str | None, snapshot: Snapshot, allow_unauthenticated: bool) -> str:
    has_key = snapshot.access.master_key is not None
    if host is None:
        return "0.0.0.0" if has_key else "127.0.0.1"
    if not (has_key or allow_unauthenticated or _is_loopback(host)):
        raise click.ClickException(
            f"without a master key anybody who reaches {host} could spend your money: "
            "set general_settings.master_key (or POINTSMAN_MASTER_KEY), or say --allow-unauthenticated"
        )
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "that is not a host name"
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port"
        ) from error
    return listener


def _announce(snapshot: Snapshot, key: AdminKey | None, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host
    base = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    lines = [f"Pointsman listens on {base}"]
    shown_key = "$POINTSMAN_MASTER_KEY"
    if key is not None:
        shown_key = key.secret.reveal() if key.is_new else f"$(cat {shlex.quote(str(key.path))})"
        if key.is_new:
            lines.append(f"Admin key, shown this once and kept in {key.path}: {shown_key}")
        else:
            lines.append(f"The admin key is in {key.path}")
    elif snapshot.access.master_key is None:
        lines.append("No master key is set: every caller on this machine is let in")
    names = [d.model_name for d in snapshot.deployments if "*" not in d.model_name]
    model = DEMO_MODEL if DEMO_MODEL in names else next(iter(names), "MODEL")
    auth = "" if snapshot.access.master_key is None else f' -H "Authorization: Bearer {shown_key}"'
    lines += [
        "Try it:",
        f"  curl {base}/v1/chat/completions{auth} -H 'Content-Type: application/json' \\",
        f"""    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'""",
    ]
    click.echo("\n".join(lines))
