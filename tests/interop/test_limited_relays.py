"""Relays that tell a Limit, as Kubo's and js-libp2p's do by default: named in the log, and not used either way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from tests.adapters.p2p.bitswap.rig import open_node
from tests.interop.helia import LOCAL_TCP, open_helia
from tests.interop.kubo import needs_kubo, open_kubo
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node, needs_kubo]

DEADLINE = 30.0
LIMITS = {"Kubo": (120, 131072), "js-libp2p": (120_000, 131072)}  # js-libp2p writes milliseconds where seconds belong


@dataclass(frozen=True)
class Relay:
    peer_id: str
    address: str


@asynccontextmanager
async def open_relay(program: str, folder: Path) -> AsyncIterator[Relay]:
    """Real ones, with the limits that they have by default."""
    if program == "Kubo":
        async with open_kubo(folder, relay=True) as kubo:
            yield Relay(kubo.peer_id, kubo.addrs[0])
    else:
        async with open_helia([LOCAL_TCP], relay=True) as helia:
            yield Relay(helia.peer_id, helia.addrs[0])


@pytest.mark.parametrize("program", ["Kubo", "js-libp2p"])
async def test_as_a_way_to_us_it_is_named_with_what_it_means_and_its_place_is_not_kept(
    program: str, tmp_path: Path
) -> None:
    async with open_relay(program, tmp_path) as relay:
        with capture_logs() as logs:
            async with open_node(more={"bootstrap": (relay.address,), "relays_wanted": 1}) as hidden:
                with trio.fail_after(DEADLINE):
                    while not any(line["event"] == "relay.limited" for line in logs):  # noqa: ASYNC110
                        await trio.sleep(0.01)
                assert hidden.host.relay_client is not None
                assert hidden.host.relay_client.relays == []
                assert all("/p2p-circuit" not in address for address in hidden.host.addresses)
        (told,) = [line for line in logs if line["event"] == "relay.limited"]
        assert (told["relay"], (told["seconds"], told["bytes"])) == (relay.peer_id, LIMITS[program])
        assert "no content and no messages go through it" in told["meaning"]


@pytest.mark.parametrize("program", ["Kubo", "js-libp2p"])
async def test_as_a_way_to_others_it_is_refused_with_the_reason(program: str, tmp_path: Path) -> None:
    async with (
        open_relay(program, tmp_path) as relay,
        open_helia([f"{relay.address}/p2p-circuit"]) as behind,
        open_node() as worker,
    ):
        circuit = next(address for address in behind.addrs if "/p2p-circuit/" in address)
        seconds, size = LIMITS[program]
        with pytest.raises(CannotConnect, match=f"limits circuits to {seconds} s and {size} bytes: no content goes"):
            await worker.host.connect(circuit, DEADLINE)
        assert worker.host.peers() == [relay.peer_id]
        with pytest.raises(CannotConnect, match="that peer has no place there"):
            await worker.host.connect(f"{relay.address}/p2p-circuit/p2p/{peer_id_of(new_key())}", DEADLINE)
