"""The fault proxy as a process: ``python -m chaos.fault_process PORT`` prints its port and the one for control.

On the latter, ``PUT /fault`` with a :class:`~chaos.faults.Fault` puts that in force and begins to count anew, and
``GET /counts`` gives :class:`~chaos.faults.Counts`.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import msgspec
import uvloop
from chaos.faults import HOST, Fault, Proxy, request_end


async def control(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection of the control port, for one request."""
    data = b""
    while not request_end(data):
        data += await reader.readexactly(1)
    status, body = b"200 OK", b"{}"
    if data.startswith(b"PUT /fault "):
        try:
            proxy.put(msgspec.json.decode(data.partition(b"\r\n\r\n")[2], type=Fault))
        except msgspec.MsgspecError as error:
            status, body = b"400 Bad Request", str(error).encode()
    elif data.startswith(b"GET /counts "):
        body = msgspec.json.encode(proxy.counts)
    else:
        status = b"404 Not Found"
    writer.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
    writer.close()


async def main(upstream_port: int) -> None:
    """Serve until killed."""
    proxy = Proxy(upstream_port)
    server = await asyncio.start_server(partial(control, proxy), HOST, 0)
    sys.stdout.write(f"{proxy.port} {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
