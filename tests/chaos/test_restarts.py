from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import uvloop
from chaos.restarts import KEPT, SINGLE, STREAMING, WHOLE_REQUEST, Client, restart, under_load, until, workers_of

RESTARTS = 3
MORE = 300
LINGER = "--drain-delay", "1"


@pytest.mark.requirement("restart.rolling")
def test_restarts_under_load_lose_no_request_and_cut_no_stream(tmp_path: Path) -> None:
    async def run() -> None:
        async with under_load(tmp_path) as (gateway, load):
            before = workers_of(gateway)
            await restart(gateway, RESTARTS)
            seen = load.outcome
            # Streams that the first workers began have ended meanwhile, in one way or the other.
            await until(lambda: not before & workers_of(gateway), "the first workers did not end")
            assert (await load.stop()).faults == []
            assert min(seen.kept, seen.single, seen.streams) > 0

    uvloop.run(run())


@pytest.mark.requirement("restart.worker-dies")
def test_a_worker_that_dies_costs_no_more_than_it_was_serving_and_is_replaced(tmp_path: Path) -> None:
    async def run() -> None:
        async with under_load(tmp_path) as (gateway, load):
            before = workers_of(gateway)
            victim, survivor = sorted(before)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: len(workers_of(gateway) - {victim}) == len(before), "the worker was not replaced")
            seen = load.outcome
            lost, answered = len(seen.faults), seen.requests
            assert lost <= KEPT + SINGLE + STREAMING
            assert survivor in workers_of(gateway)
            await until(lambda: seen.requests > answered + MORE, "no more requests were served")
            assert len((await load.stop()).faults) == lost

    uvloop.run(run())


@pytest.mark.requirement("drain.stop")
def test_clients_that_keep_their_connection_are_told_before_it_ends(tmp_path: Path) -> None:
    async def use(port: int, answers: list[bytes]) -> None:
        client = Client(port)
        while not (answers and client.is_told):
            answers.append(await client.ask(WHOLE_REQUEST))
        client.close()

    async def run() -> None:
        async with under_load(tmp_path, *LINGER, workers=1, is_idle=True) as (gateway, _):
            answers: list[list[bytes]] = [[] for _ in range(KEPT)]
            using = asyncio.gather(*(use(gateway.port, mine) for mine in answers))
            await until(lambda: all(answers), "nobody was answered")
            gateway.process.send_signal(signal.SIGTERM)
            # Raises what any of them saw.
            await using
            await until(lambda: gateway.process.poll() is not None, "it did not end")

    uvloop.run(run())
