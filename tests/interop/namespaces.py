"""Machines in a local network: network namespaces, joined by a bridge in a namespace of its own.

    with open_local_network(2) as (one, other):
        await trio.run_process([*one.inside, "ip", "address"])

Nothing of this machine's own network is touched, and nothing of the parties' leaves theirs. The names are of this run,
and all is taken down at the end, always. Needs root; `needs_namespaces` skips where there are none to be had.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

IP = shutil.which("ip") or "/usr/sbin/ip"
NETWORK = "10.89.0"


@dataclass(frozen=True)
class Machine:
    """A network namespace. `inside` is the beginning of a command that runs the rest of it there."""

    name: str
    address: str = ""

    @property
    def inside(self) -> tuple[str, ...]:
        return (IP, "netns", "exec", self.name)

    def ip(self, *arguments: str) -> None:
        _run(IP, "-n", self.name, *arguments)

    def run(self, *command: str) -> str:
        """What a command prints there that soon ends by itself."""
        return _run(*self.inside, *command)

    def give_address(self, address: str, device: str = "eth0") -> None:
        """`10.89.0.1/24`; and multicast goes that way."""
        self.ip("address", "add", address, "dev", device)
        self.ip("route", "replace", "224.0.0.0/4", "dev", device)


@contextmanager
def open_machine(role: str) -> Iterator[Machine]:
    """A machine with its loopback, and no network."""
    machine = Machine(f"pw-{role}-{secrets.token_hex(4)}")
    _run(IP, "netns", "add", machine.name)
    try:
        machine.ip("link", "set", "lo", "up")
        yield machine
    finally:
        _run(IP, "netns", "delete", machine.name)


@contextmanager
def open_local_network(machines: int, *, addresses: bool = True) -> Iterator[list[Machine]]:
    """Machines 10.89.0.1 and on; without `addresses` they are plugged in, and have none yet."""
    with ExitStack() as stack:
        switch = stack.enter_context(open_machine("switch"))
        switch.ip("link", "add", "name", "bridge", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        switch.ip("link", "set", "bridge", "up")
        found = []
        for number in range(1, machines + 1):
            name = stack.enter_context(open_machine(f"party{number}")).name
            machine = Machine(name, f"{NETWORK}.{number}")
            plug(machine, "eth0", switch, f"port{number}")
            switch.ip("link", "set", f"port{number}", "master", "bridge")
            if addresses:
                machine.give_address(f"{machine.address}/24")
            found.append(machine)
        yield found


def plug(machine: Machine, device: str, other: Machine, other_device: str) -> None:
    """A cable between the two; it is gone with either."""
    machine.ip("link", "add", "name", device, "type", "veth", "peer", "name", other_device, "netns", other.name)
    machine.ip("link", "set", device, "up")
    other.ip("link", "set", other_device, "up")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _why_not() -> str | None:
    try:
        with open_machine("probe") as one, open_machine("probe") as other:
            plug(one, "eth0", other, "eth0")
    except (RuntimeError, OSError) as error:
        return f"no network namespaces here (root and iproute2 make them): {error}"
    return None


WHY_NOT = _why_not()
needs_namespaces = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
