"""Garbage of every kind thrown at a running worker: refused with a code where the protocol says so, silence elsewhere,
and the next honest request is answered."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.domain.content.cid import RAW, Cid
from pinning_worker.domain.content.multihash import Multihash
from tests.interop.browser import ask_for_quote, join
from tests.interop.helia import Heard, Helia, open_helia
from tests.interop.market import open_market
from tests.interop.node_binary import needs_node
from tests.interop.worker import Worker

pytestmark = [pytest.mark.interop, needs_node]

SEED = 7

SHA_512 = str(Cid(1, RAW, Multihash(b"\x13\x40" + hashlib.sha512(b"x").digest())))

REFUSED = {
    "undefined": "BAD_CID",
    "": "BAD_CID",
    "Qm": "BAD_CID",
    "bafy": "BAD_CID",
    "z" * 500: "BAD_CID",
    "b" + "a" * 2000: "BAD_CID",
    "\u202ebafy": "BAD_CID",
    "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq": "UNSUPPORTED",  # dag-cbor
    "bafkqaaa": "UNSUPPORTED",  # identity hash
    SHA_512: "UNSUPPORTED",
}

SILENCE = [
    b"",
    b"\xff\xfe\x00garbage",
    b"{",
    b"null",
    b"[]",
    b'{"type":"NEW-CID"' + b" " * 20_000 + b"}",
    b"[" * 100_000,
    b'{"status":"ADDING-CID","cid":"bafy"}',
    b"LAST_100_CIDS:NONE",
    b"ERROR:no",
    b"new-cid:bafy",
    b"x" * 900_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b'{"status":NaN}',
    b"\x00" * 1000,
]


async def test_garbage_on_the_topic(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    async with open_market(tmp_path) as market, market.worker() as worker, open_helia() as alice:
        await join(alice, worker)
        for garbage in [*SILENCE, *(dice.randbytes(dice.randint(1, 5_000)) for _ in range(100))]:
            await alice.publish(garbage)
        for number, (text, code) in enumerate(REFUSED.items()):
            await alice.publish(json.dumps({"type": "NEW-CID", "cid": text, "id": f"r{number}"}))
            answer = await answer_with(alice, "id", f"r{number}")
            assert (answer["status"], answer["code"]) == ("ERROR", code), text
        for wrong in ({"durationMonths": 0}, {"durationMonths": 1.5}, {"origins": "x"}, {"id": 5}, {"cid": None}):
            await alice.publish(json.dumps({"type": "NEW-CID", "cid": "bafy"} | wrong))
            assert (await answer_with(alice, "code", "BAD_REQUEST"))["status"] == "ERROR"
        answers = alice.heard_so_far(lambda m: m.sender == worker.peer_id)
        assert len(answers) == len(REFUSED) + 5, "something that is no request was answered"
        await honest_request_is_answered(worker)


async def test_garbage_on_the_port(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    async with open_market(tmp_path) as market, market.worker() as worker:
        host, port = worker.tcp_addr.split("/")[2], int(worker.tcp_addr.split("/")[4])
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(throw, host, port, dice.randbytes(dice.randint(0, 3_000)), number % 3 == 0)
        await honest_request_is_answered(worker)


async def throw(host: str, port: int, garbage: bytes, linger: bool) -> None:
    """Raw bytes on the listener: some hang up at once, some wait for the worker to."""
    stream = await trio.open_tcp_stream(host, port)
    async with stream:
        try:
            await stream.send_all(garbage)
            if linger:
                with trio.move_on_after(2):
                    while await stream.receive_some(65_536):
                        pass
        except trio.BrokenResourceError:
            pass  # the worker hung up first: its right


async def honest_request_is_answered(worker: Worker) -> None:
    async with open_helia() as honest:
        await join(honest, worker)
        added = await honest.add_file(1_000, seed=os.urandom(8).hex())
        quote = await ask_for_quote(honest, added.cid, worker)
        assert quote["bytes"]["total"] == added.dag_bytes


async def answer_with(peer: Helia, field: str, value: str) -> dict[str, Any]:
    """The next object on the topic that has it."""

    def fits(message: Heard) -> bool:
        return isinstance(message.json, dict) and message.json.get(field) == value

    answer: dict[str, Any] = (await peer.heard(fits)).json
    return answer
