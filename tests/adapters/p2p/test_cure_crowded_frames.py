"""The crowded-frames cure: thousands of messages in one frame stop nobody, and honest ones are heard after it."""

from __future__ import annotations

import time

import trio
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V12
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.cures.gossip import crowded_frames
from pinning_worker.adapters.p2p.cures.process import crash
from tests.adapters.p2p.cure_rig import Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play

TOPIC = "t"
MESSAGES = 4_000  # seconds, for the library; five times as many fit into 1 MiB, and take 25 times as long
STOOD_STILL = 1.0  # seconds of this program's own time


async def thousands_of_messages() -> str:
    """From a stranger who has signed none of them; then one honest message."""
    async with (
        bare_host() as host,
        bare_host() as honest,
        bare_host() as stranger,
        bare_pubsub(host) as gossip,
        bare_pubsub(honest) as honest_gossip,
        trio.open_nursery() as nursery,
    ):
        ear = Ear()
        nursery.start_soon(ear.listen, await gossip.subscribe(TOPIC))
        await honest_gossip.subscribe(TOPIC)
        await connect(honest, host)
        await connect(stranger, host)
        await know_each_other(TOPIC, gossip, honest_gossip)
        crowd = rpc_pb2.RPC(publish=[rpc_pb2.Message(topicIDs=[TOPIC], data=b"%d" % n) for n in range(MESSAGES)])
        stream = await stranger.new_stream(host.get_id(), [PROTOCOL_ID_V12])
        began = time.process_time()
        await stream.write(encode_varint_prefixed(crowd.SerializeToString()))
        await trio.sleep(0.2)  # it has come, and whatever it brings about has begun
        await honest_gossip.publish(TOPIC, b"hello")
        heard = await ear.hears(b"hello", seconds=40)
        spent = time.process_time() - began
        nursery.cancel_scope.cancel()
    return f"heard: {heard}, {'everybody waited' if spent > STOOD_STILL else 'at once'}"


def test_nobody_waits() -> None:
    assert outcome(thousands_of_messages, stock=False) == "heard: True, at once"


def test_in_the_stock_library_everybody_does() -> None:
    assert outcome(thousands_of_messages, stock=True) == "heard: True, everybody waited"


if __name__ == "__main__":
    play(globals(), crash, crowded_frames)
