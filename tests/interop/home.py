"""A home: a machine behind a real router (Linux, nftables, miniupnpd), and one outside. Network namespaces.

    with open_home() as home:
        async with home.upnp():
            ...   # run things by home.inside.inside, home.outside.inside

Behind: 192.168.77.2, the router is .1. Outside the addresses look public: 45.83.2.1 is the router, .2 a stranger.
Nothing goes through to the inside that was not asked for. No packet leaves the namespaces.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import pytest
import trio

from tests.interop.namespaces import WHY_NOT, Machine, open_machine, plug

WITHIN, ROUTER_WITHIN = "192.168.77.2", "192.168.77.1"
ROUTER, STRANGER = "45.83.2.1", "45.83.2.2"
ANOTHER_ROUTERS = "10.1.2.3"
READY_SECONDS = 20

RULES = """
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; oifname "wan" masquerade; }
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
"""
CONFIG = """
ext_ifname=wan
listening_ip=lan
port=0
enable_upnp=yes
enable_natpmp=no
ipv6_disable=yes
min_lifetime=10
max_lifetime=86400
uuid=8d2b4ff0-9d1a-4f5c-8f1e-3f2f1b8a9c01
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
"""
ALLOW = "allow 1024-65535 192.168.77.0/24 1024-65535"
DENY = "deny 0-65535 0.0.0.0/0 0-65535"


@dataclass(frozen=True)
class Home:
    """Made by `open_home`."""

    inside: Machine
    router: Machine
    outside: Machine

    @asynccontextmanager
    async def upnp(self, folder: Path, *rules: str) -> AsyncIterator[trio.Process]:
        """While this is open the router answers. `rules`: lines of its configuration, else all may be mapped."""
        config = folder / "miniupnpd.conf"
        config.write_text("\n".join([CONFIG, *(rules or ["secure_mode=yes", ALLOW]), DENY, ""]))
        command = ["miniupnpd", "-d", "-f", str(config), "-P", str(folder / "miniupnpd.pid")]
        process = await trio.lowlevel.open_process(
            [*self.router.inside, *command], stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        async with trio.open_nursery() as nursery:
            try:
                listening = trio.Event()
                nursery.start_soon(_read, process, listening)
                with trio.fail_after(READY_SECONDS):
                    await listening.wait()
                yield process
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                nursery.cancel_scope.cancel()

    def forwarded(self) -> str:
        """The router's own list of what it forwards, as nftables has it."""
        return self.router.run("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")

    def forget(self) -> None:
        """What a router forgets that is switched off and on."""
        self.router.run("nft", "flush", "chain", "inet", "filter", "prerouting_miniupnpd")
        self.router.run("nft", "flush", "chain", "inet", "filter", "miniupnpd")


@contextmanager
def open_home(router: str = ROUTER) -> Iterator[Home]:
    """`router`: its address outside."""
    with open_machine("inside") as inside, open_machine("router") as middle, open_machine("outside") as outside:
        plug(inside, "eth0", middle, "lan")
        plug(outside, "eth0", middle, "wan")
        inside.ip("address", "add", f"{WITHIN}/24", "dev", "eth0")
        inside.ip("route", "add", "default", "via", ROUTER_WITHIN)
        middle.give_address(f"{ROUTER_WITHIN}/24", "lan")
        middle.ip("address", "add", f"{router}/24", "dev", "wan")
        outside.ip("address", "add", f"{STRANGER}/24", "dev", "eth0")
        middle.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        _load_rules(middle)
        yield Home(inside, middle, outside)


def _load_rules(machine: Machine) -> None:
    subprocess.run([*machine.inside, "nft", "-f", "-"], input=RULES, text=True, check=True, timeout=20)


async def _read(process: trio.Process, listening: trio.Event) -> None:
    assert process.stdout is not None
    log = b""
    async for chunk in process.stdout:
        log = (log + chunk)[-20_000:]
        if b"HTTP listening on port" in log:
            listening.set()
    if not listening.is_set():
        raise RuntimeError(f"miniupnpd ended: {log.decode(errors='replace')}")


def _why_not() -> str | None:
    if WHY_NOT is not None:
        return WHY_NOT
    if shutil.which("miniupnpd") is None or shutil.which("nft") is None:
        return "no router here (Debian: apt-get install miniupnpd-nftables nftables)"
    try:
        with open_home():
            return None
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return f"no router here, nftables does not work in a network namespace: {error}"


needs_home = pytest.mark.skipif((why := _why_not()) is not None, reason=str(why))
