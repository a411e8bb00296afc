"""Start one target, given as JSON, where there is no network but loopback; used by startup.py under `unshare -n`.

Prints JSON: whether and how fast it answered, how many packets had no route (an attempt to reach another
host) and how many datagrams were sent (a name server on the loopback would be asked by one).
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

# Run as a script, the folder itself is on the path and the one above is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, programs
from bench.servers import Server, Target

SIOCSIFFLAGS = 0x8914
IFF_UP_AND_RUNNING = 0x41


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_AND_RUNNING))


def counters() -> dict[str, int]:
    """/proc/net/snmp and snmp6 of this namespace as {"Ip.OutNoRoutes": 0, ...}."""
    found: dict[str, int] = {}
    lines = Path("/proc/net/snmp").read_text().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group = names.partition(":")[0]
        pairs = zip(names.split()[1:], values.split()[1:], strict=True)
        found |= {f"{group}.{name}": int(value) for name, value in pairs}
    snmp6 = Path("/proc/net/snmp6")
    if snmp6.exists():
        found |= {name: int(value) for name, value in (x.split() for x in snmp6.read_text().splitlines())}
    return found


def main(target: Target) -> None:
    raise_loopback()
    real_time = machine.can_use_real_time()
    harness = programs.Harness(real_time=real_time)
    server = Server(target, real_time=real_time)
    try:
        before = counters()
        took = server.start()
        after = counters()
    finally:
        server.stop()
        harness.close()
    seen = {
        key: after.get(key, 0) - before.get(key, 0)
        for key in ("Ip.OutNoRoutes", "Ip6OutNoRoutes", "Udp.OutDatagrams", "Udp6OutDatagrams")
    }
    print(json.dumps({"starts": True, "start_s": round(took, 3), "touched_network": any(seen.values()), **seen}))


if __name__ == "__main__":
    main(Target(**json.loads(sys.argv[1])))
