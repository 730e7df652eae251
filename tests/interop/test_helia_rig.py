"""The rig itself: two Helia peers talk, so that a failing story is the worker's fault and not the rig's."""

import hashlib
import json

import pytest

from tests.interop.helia import KIB, Heard, HeliaError, open_helia
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_two_peers_gossip_and_exchange_a_file(over: str) -> None:
    async with open_helia() as alice, open_helia(listen=()) as bob:
        assert await bob.dial(alice.tcp_addr if over == "tcp" else alice.ws_addr) == alice.peer_id
        await bob.wait_mesh(peer_id=alice.peer_id)

        assert await bob.publish("NEW-CID:bafy") == [alice.peer_id]
        message = await alice.heard(lambda m: m.text.startswith("NEW-CID:"))
        assert (message.sender, message.text) == (bob.peer_id, "NEW-CID:bafy")

        file = await alice.add_file(300 * KIB + 1, seed="one", chunk_size=256 * KIB)
        assert file.blocks == 3  # two leaves and their root
        assert (await bob.cat(file.cid)).sha256 == file.sha256
        assert await bob.forget() == 3
        await alice.stop()
        with pytest.raises(HeliaError, match="cat"):
            await bob.cat(file.cid, deadline=1)


async def test_content_is_the_same_every_time_and_metadata_is_what_the_browser_writes() -> None:
    async with open_helia(seed=bytes(32), topic=None) as first:
        file = await first.add_file(5000, seed=7)
        again = await first.add_file(5000, seed=7)
        other = await first.add_file(5000, seed=8)
        assert (file.cid, file.sha256) == (again.cid, again.sha256)
        assert file.cid != other.cid
        metadata = await first.add_metadata("art", image=file.cid)
        written = {"name": "art", "description": "art, described", "image": f"ipfs://{file.cid}"}
        compact = json.dumps(written, separators=(",", ":"))
        assert metadata.sha256 == hashlib.sha256(compact.encode()).hexdigest()
        peer_id = first.peer_id
    async with open_helia(seed=bytes(32), topic=None) as second:
        assert second.peer_id == peer_id


async def test_what_was_not_heard_is_told_with_what_was_heard() -> None:
    async with open_helia() as alice, open_helia() as bob:
        await bob.dial(alice.tcp_addr)
        await bob.wait_mesh()
        await bob.publish('{"status":"ADDED-CID","cid":"bafy"}')
        await alice.heard(lambda m: m.says("ADDED-CID", "bafy"))

        def pinned(message: Heard) -> bool:
            return message.says("CID-PINNED-WITH-NAME")

        with pytest.raises(HeliaError, match="ADDED-CID"):
            await alice.heard(pinned, deadline=0.1)
