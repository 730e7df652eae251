"""The worker's access to the router: a process of its own, killed when it takes too long or sends too much.

A thread that waits for a router cannot be ended, and the router's bytes would lie in our memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import IPv4Address

import trio

from pinning_worker.adapters.p2p.discovery import upnp_router
from pinning_worker.adapters.p2p.discovery.upnp_router import NotMapped, Protocol, public_address

LONGEST_ANSWER = 4096  # bytes


class Router:
    """Made by `find_router`; to be closed. `here` is our own address in its network.

    Every call raises NotMapped: the router refuses, or its process is gone. A call that is cancelled ends the process.
    """

    def __init__(self, process: trio.Process) -> None:
        self.here = ""
        self._process = process
        self._heard = b""

    async def external_address(self) -> str:
        """The public IPv4 address."""
        return public_address(str(await self.ask("external_address")))

    async def holder(self, protocol: Protocol, external: int) -> tuple[str, int] | None:
        """The machine and port to which that external port is forwarded; None: it is not."""
        match await self.ask("holder", protocol, external):
            case [str(ip), int(port)]:
                return ip, port
            case _:
                return None

    async def forward(self, protocol: Protocol, external: int, port: int) -> None:
        """Forwards, or goes on forwarding, for LEASE_SECONDS; until `give_back` where a router knows no end."""
        await self.ask("forward", protocol, external, port)

    async def give_back(self, protocol: Protocol, external: int, port: int) -> None:
        """Ends the forwarding, if it is to us."""
        await self.ask("give_back", protocol, external, port)

    async def ask(self, call: str, *arguments: object) -> object:
        try:
            line = await self._exchange(json.dumps({"call": call, "with": arguments}).encode() + b"\n")
        except BaseException:
            await self.aclose()  # an answer that comes later would be taken for that to another call
            raise
        answer = json.loads(line)
        if "not_mapped" in answer:
            raise NotMapped(str(answer["not_mapped"]))
        return answer["said"]

    async def _exchange(self, line: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            await self._process.stdin.send_all(line)
            while b"\n" not in self._heard:
                more = await self._process.stdout.receive_some(LONGEST_ANSWER)
                self._heard += more
                if not more or len(self._heard) > LONGEST_ANSWER:
                    raise NotMapped("what the router said was too much for the process that asks it")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise NotMapped("the process that asks the router has ended") from error
        answer, _, self._heard = self._heard.partition(b"\n")
        return answer

    async def aclose(self) -> None:
        """Ends the process, whatever it is waiting for."""
        with trio.CancelScope(shield=True):
            self._process.kill()
            await self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    await pipe.aclose()


async def find_router(description: str = "") -> Router:
    """`description`: the URL of its description, where that is known. Raises NotMapped: none answers."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", upnp_router.__name__],  # -P: nothing is imported from the folder we run in
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    router = Router(process)
    try:
        router.here = str(IPv4Address(str(await router.ask("find", *([description] if description else [])))))
    except ValueError as error:
        await router.aclose()
        raise NotMapped("no router answers by UPnP: we have no address in its network") from error
    except BaseException:
        await router.aclose()
        raise
    return router
