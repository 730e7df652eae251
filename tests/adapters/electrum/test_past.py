"""The past below a known block, from servers of every honesty, and what it costs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from pinning_worker.adapters.electrum import past, past_window
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.domain.chain.headers import HEADER_SIZE
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Anchor
from pinning_worker.domain.identities import Txid
from pinning_worker.ports.chain import BlockOfNames
from tests.adapters.electrum.listening import Heard, eventually
from tests.adapters.electrum.metered import SOFT, Metered
from tests.adapters.electrum.scripted import Ledger, Refusal, ScriptedServer, payment
from tests.adapters.electrum.watching import BRISK, watching

ANCHOR = 30
NO_LIMITS = replace(BRISK, burst=1e9, per_second=1e9)


def ledger_with_a_past(*, blocks: int = 40) -> Ledger:
    """A chain whose anchor is at 30: blocks below 20 are known by hash alone. Each third block has a name."""
    ledger = Ledger()
    for height in range(1, blocks + 1):
        named = [payment(height)] if height % 3 == 0 else []
        ledger.mine(*named, merged=height % 2 == 0)
    ledger.network = replace(DOICHAIN_REGTEST, anchor=Anchor(ANCHOR, ledger.blocks[ANCHOR].hash))
    return ledger


async def caught_up(heard: Heard, server: ScriptedServer) -> None:
    await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))


async def read_down(watcher: PaymentWatcher, ledger: Ledger, height: int, to: int = 1) -> list[BlockOfNames]:
    """Every block below that one, as the index asks for them."""
    found: list[BlockOfNames] = []
    block_hash = ledger.blocks[height].hash
    while height > to and (blocks := await watcher.names_below(height, block_hash)):
        found += blocks
        height, block_hash = blocks[-1].height, blocks[-1].hash
    return found


def require_the_past(found: Sequence[BlockOfNames], ledger: Ledger, height: int) -> None:
    assert [block.height for block in found] == list(range(height - 1, 0, -1))
    for block in found:
        true = ledger.blocks[block.height]
        assert (block.hash, block.time.timestamp()) == (true.hash, true.header.time)
        assert [op.txid for op in block.ops] == true.txids[1:]


@pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "ws"])
async def test_the_whole_past_is_read_newest_first(websocket: bool) -> None:
    server = ScriptedServer(ledger_with_a_past(), websocket)
    async with watching(server, patience=NO_LIMITS, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        found = await read_down(watcher, server.ledger, 38)
        require_the_past(found, server.ledger, 38)
        assert await watcher.names_below(1, server.ledger.blocks[1].hash) == []
        assert server.asked["blockchain.transaction.get"] == len(found) + sum(len(block.ops) for block in found)


async def test_it_goes_on_from_a_block_of_which_only_the_hash_is_known() -> None:
    """As after a restart."""
    server = ScriptedServer(ledger_with_a_past())
    async with watching(server, patience=NO_LIMITS) as (watcher, heard):
        await caught_up(heard, server)
        for height in (21, 20, 19, 7, 2):
            require_the_past(await read_down(watcher, server.ledger, height), server.ledger, height)


async def test_asked_again_it_says_the_same() -> None:
    """The index could not store it."""
    server = ScriptedServer(ledger_with_a_past())
    async with watching(server, patience=NO_LIMITS) as (watcher, heard):
        await caught_up(heard, server)
        first = await watcher.names_below(38, server.ledger.blocks[38].hash)
        asked = server.asked["blockchain.transaction.get"]
        again = await watcher.names_below(38, server.ledger.blocks[38].hash)
        assert again[: len(first)] == first
        assert server.asked["blockchain.transaction.get"] == asked


async def test_below_a_block_that_is_not_ours_there_is_nothing() -> None:
    server = ScriptedServer(ledger_with_a_past())
    async with watching(server, patience=NO_LIMITS) as (watcher, heard):
        await caught_up(heard, server)
        with trio.fail_after(30):
            assert await watcher.names_below(38, "ab" * 32) == []
            assert await watcher.names_below(99, "ab" * 32) == []


async def test_a_wait_ends_when_a_reorg_takes_the_block() -> None:
    server = ScriptedServer(ledger_with_a_past())
    async with watching(server, patience=NO_LIMITS) as (watcher, heard):
        await caught_up(heard, server)
        server.answers["blockchain.transaction.get"] = refuse
        old = server.ledger.blocks[38].hash
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with trio.fail_after(30):
                    assert await watcher.names_below(38, old) == []

            server.ledger.rewind(36)
            server.ledger.mine(count=8, salt=1)
            await server.tell_tip()


# --- servers that differ


def whole(server: ScriptedServer) -> Callable[..., Any]:
    """As a server of protocol 1.4, which knows no checkpoints."""
    honest = server._blockchain_block_headers
    return lambda first, count, _checkpoint=0: honest(first, count)


def no_checkpoint(server: ScriptedServer) -> Callable[..., Any]:
    honest = server._blockchain_block_headers

    def answer(first: int, count: int, checkpoint: int = 0) -> Any:
        if checkpoint:
            raise Refusal("unknown checkpoint")
        return honest(first, count)

    return answer


def cut_wrongly(server: ScriptedServer) -> Callable[..., Any]:
    """As ElectrumX 2.0: it cuts where the headers from the genesis block on would have to be cut."""

    def answer(first: int, count: int, checkpoint: int = 0) -> Any:
        data = b"".join(block.data for block in server.ledger.blocks[first : first + count])
        if checkpoint:
            sizes = [len(block.data) for block in server.ledger.blocks[:count]]
            starts = [sum(sizes[:at]) for at in range(count)]
            data = b"".join(data[start : start + HEADER_SIZE] for start in starts)
        return {"count": count, "hex": data.hex(), "max": 2016}

    return answer


@pytest.mark.parametrize("form", [whole, no_checkpoint, cut_wrongly])
async def test_a_server_that_cuts_no_headers_serves_too(form: Callable[[ScriptedServer], Any]) -> None:
    server = ScriptedServer(ledger_with_a_past())
    server.answers["blockchain.block.headers"] = form(server)
    async with watching(server, patience=NO_LIMITS) as (watcher, heard):
        await caught_up(heard, server)
        require_the_past(await read_down(watcher, server.ledger, 38), server.ledger, 38)


async def test_several_servers_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "FIRST_BLOCKS", 5)
    monkeypatch.setattr(past, "MOST_BLOCKS", 5)
    ledger = ledger_with_a_past(blocks=120)
    servers = [ScriptedServer(ledger, websocket=True) for _ in range(3)]
    async with watching(*servers, patience=NO_LIMITS, scripts=()) as (watcher, heard):
        await caught_up(heard, servers[0])
        await eventually(lambda: all(state.height == 120 for state in watcher.servers()), "all are there")
        require_the_past(await read_down(watcher, ledger, 118), ledger, 118)
        asked = [server.asked["blockchain.transaction.get"] for server in servers]
        assert min(asked) > 0
        assert sum(asked) == 117 + 39, "no block is read twice"


# --- lies and refusals


def refuse(*_: Any) -> Any:
    raise Refusal("db error")


def forge_headers(liar: ScriptedServer) -> None:
    """A past of its own, that does not lead to our anchor."""
    other = Ledger()
    other.mine(count=40, salt=7)
    honest = liar._blockchain_block_headers

    def answer(first: int, count: int, _checkpoint: int = 0) -> Any:
        if first > 20:
            return honest(first, count)
        data = [block.data[:HEADER_SIZE] for block in other.blocks[first : first + count]]
        return {"count": len(data), "hex": b"".join(data).hex(), "max": 2016}

    liar.answers["blockchain.block.headers"] = answer


def leave_names_out(liar: ScriptedServer) -> None:
    honest = liar._blockchain_transaction_id_from_pos

    def answer(height: int, position: int, merkle: bool = False) -> Any:
        if height < 38 and liar.ledger.blocks[height].txids[1:]:
            return {"tx_hash": liar.ledger.blocks[height].txids[0], "merkle": []}
        return honest(height, position, merkle)

    liar.answers["blockchain.transaction.id_from_pos"] = answer


def exchange_names(liar: ScriptedServer) -> None:
    honest = liar._blockchain_transaction_get

    def answer(txid: Txid) -> Any:
        return honest(txid).replace(b"art/".hex(), b"bad/".hex())

    liar.answers["blockchain.transaction.get"] = answer


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (forge_headers, "do not lead to our block"),
        (leave_names_out, "not that of the block"),
        (exchange_names, "not the one asked for"),
    ],
)
async def test_a_liar_changes_nothing_and_the_honest_server_tells_the_past(
    lie: Callable[[ScriptedServer], None], why: str
) -> None:
    liar = ScriptedServer(ledger_with_a_past(), websocket=True)
    honest = ScriptedServer(liar.ledger)
    with capture_logs() as logs:
        async with watching(liar, honest, patience=NO_LIMITS, scripts=()) as (watcher, heard):
            await caught_up(heard, honest)
            await eventually(lambda: all(state.height == 40 for state in watcher.servers()), "both are there")
            lie(liar)
            honest.is_open = False  # until the liar was asked
            honest.hang_up()
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def _() -> None:
                    require_the_past(await read_down(watcher, honest.ledger, 38), honest.ledger, 38)

                await eventually(lambda: any(why in line.get("why", "") for line in logs), "the lie is found out")
                honest.is_open = True
            assert watcher.servers()[0].fault == "", "it may be honest about payments"
            assert watcher.servers()[0].connected


async def test_a_server_that_claims_a_huge_block_and_dawdles_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_window, "OVERDUE_SECONDS", 0.5)
    slow = ScriptedServer(ledger_with_a_past(), websocket=True)
    quick = ScriptedServer(slow.ledger)
    honest = slow._blockchain_transaction_id_from_pos
    asked: list[int] = []

    def huge(height: int, position: int, merkle: bool = False) -> Any:
        if height != 37:
            return honest(height, position, merkle)
        asked.append(position)
        return {"tx_hash": f"{position:064x}", "merkle": ["cd" * 32] * 17} if merkle else f"{position:064x}"

    async with watching(slow, quick, patience=replace(BRISK, per_second=50.0), scripts=()) as (watcher, heard):
        await caught_up(heard, quick)
        await eventually(lambda: all(state.height == 40 for state in watcher.servers()), "both are there")
        slow.answers["blockchain.transaction.id_from_pos"] = huge
        quick.is_open = False
        quick.hang_up()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def _() -> None:
                    require_the_past(await read_down(watcher, quick.ledger, 38), quick.ledger, 38)
                    nursery.cancel_scope.cancel()

                await eventually(lambda: len(asked) > 400, "it has the first piece, and a long list")
                quick.is_open = True
        assert len(asked) < 10_000, "of 131 072: it was overtaken long before the end"


async def test_a_refusal_is_asked_again_ever_later() -> None:
    server = ScriptedServer(ledger_with_a_past())
    refused: list[float] = []  # when a batch was
    honest = server._blockchain_transaction_id_from_pos

    def twice(*asked: Any) -> Any:
        if not refused or trio.current_time() - refused[-1] > 0.1:
            if len(refused) == 2:
                return honest(*asked)
            refused.append(trio.current_time())
        raise Refusal("db error")

    async with watching(server, patience=replace(NO_LIMITS, refusal_seconds=0.2), scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        server.answers["blockchain.transaction.id_from_pos"] = twice
        require_the_past(await read_down(watcher, server.ledger, 38), server.ledger, 38)
        asked = trio.current_time()
    first, second = refused
    assert second - first > 0.2
    assert asked - second > 0.4


# --- in nobody's way


async def test_nothing_is_asked_before_the_payments_are_read() -> None:
    server = ScriptedServer(ledger_with_a_past())
    server.answers["blockchain.scripthash.get_history"] = refuse
    async with watching(server, patience=replace(NO_LIMITS, check_in_seconds=0.05)) as (watcher, heard):
        await caught_up(heard, server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.names_below, 38, server.ledger.blocks[38].hash)
            await trio.sleep(1.5)
            assert server.asked["blockchain.transaction.id_from_pos"] == 0
            del server.answers["blockchain.scripthash.get_history"]
            await eventually(lambda: server.asked["blockchain.transaction.id_from_pos"] > 0, "now it is")


async def test_a_server_that_others_keep_busy_is_left_alone_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts the cost of all of us behind one address, and hangs up on all of us."""
    monkeypatch.setattr(past, "SLOW_PIECE_SECONDS", 0.2)
    monkeypatch.setattr(past, "REST_TIMES", 3)
    server = Busy(ledger_with_a_past(), websocket=True)
    async with watching(server, patience=NO_LIMITS, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        server.seconds = 0.3
        await watcher.names_below(38, server.ledger.blocks[38].hash)
        asked = server.asked["blockchain.transaction.id_from_pos"]
        await trio.sleep(0.8)
        assert server.asked["blockchain.transaction.id_from_pos"] == asked, "it rests"
        await eventually(lambda: server.asked["blockchain.transaction.id_from_pos"] > asked, "and goes on")


@dataclass
class Busy(ScriptedServer):
    seconds: float = 0.0

    async def think(self) -> None:
        await trio.sleep(self.seconds)


async def test_a_wait_of_our_own_is_no_slowness_of_the_server() -> None:
    server = ScriptedServer(ledger_with_a_past())
    async with watching(server, patience=BRISK, scripts=()) as (watcher, _):
        reading = past._Reading(watcher._servers[0], BRISK)
        reading.waited_seconds = 60.0
        assert reading.rest_after(61.0) == 0.0
        assert reading.blocks == 2 * past.FIRST_BLOCKS
        assert reading.rest_after(61.0) == past.LONGEST_REST_SECONDS
        assert reading.blocks == past.FIRST_BLOCKS


async def test_a_server_with_electrumx_limits_is_never_strained_and_its_payments_are_told_at_once() -> None:
    """450 blocks cost twice as much as it gives without delay; what is left over waits for days of patience."""
    ledger = ledger_with_a_past(blocks=450)
    server = Metered(ledger, websocket=True)
    async with watching(server, patience=BRISK, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        found: list[BlockOfNames] = []
        with trio.move_on_after(3):
            height, block_hash = 449, ledger.blocks[449].hash
            while blocks := await watcher.names_below(height, block_hash):
                found += blocks
                height, block_hash = blocks[-1].height, blocks[-1].hash
        assert 0 < len(found) < 440
        assert server.most_cost < SOFT
        assert server.hung_up == 0
        began = trio.current_time()
        ledger.mine(payment(1_000))
        await server.tell_tip()
        await caught_up(heard, server)
        names = await watcher.name_ops(451)
        assert names is not None
        assert len(names.ops) == 1
        assert trio.current_time() - began < 10
