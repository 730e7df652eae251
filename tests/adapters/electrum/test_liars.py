"""Servers that lie: each lie is found out, the liar is left, and what it alone said without a proof is taken back.

Every test has an honest server beside the liar, or shows what the liar's words were worth until then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import structlog
import trio

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.adapters.electrum.sightings import MOST_IN_MEMPOOL, Sightings
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.difficulty import target_of
from pinning_worker.domain.chain.headers import parse_header
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, PinnedBlock
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import Sighting
from pinning_worker.domain.money.swartz import Swartz
from tests.adapters.electrum.listening import Heard, eventually
from tests.adapters.electrum.scripted import PAYEE, Block, Ledger, Refusal, ScriptedServer, coinbase, payment
from tests.adapters.electrum.watching import checking_in_often, until_asked, watching
from tests.mining import EASIEST_BITS, mine, without_work


def ledger_of(blocks: int) -> Ledger:
    ledger = Ledger()
    ledger.mine(count=blocks)
    return ledger


async def until_left(watcher: PaymentWatcher, server: int, why: str) -> None:
    def is_left() -> bool:
        state = watcher.servers()[server]
        return not state.connected and why in state.fault

    await eventually(is_left, f"the server is left because of: {why}")


def pair() -> tuple[ScriptedServer, ScriptedServer]:
    """A liar and an honest server, over chains that are the same so far."""
    shared = ledger_of(10)
    return ScriptedServer(shared.copy()), ScriptedServer(shared)


async def require_left_and_forgotten(
    liar: ScriptedServer, honest: ScriptedServer, lie: Callable[[], Any], invented: Txid, why: str
) -> None:
    """The liar shows an invented payment in its mempool, then lies; the honest server's payment is untouched."""
    true = payment(100)
    honest.ledger.mempool.append(true)
    async with watching(liar, honest) as (watcher, heard):
        await heard.until(lambda: heard.is_unproven(invented) and heard.is_unproven(true.txid))
        lie()
        await liar.tell_all()
        await until_left(watcher, 0, why)
        await heard.until(lambda: heard.gone == [invented])
        honest.ledger.mine(true, count=5)  # more work than the liar put into its own blocks
        await honest.tell_all()
        await heard.until(lambda: heard.proven_at(true.txid) == 11)


async def test_a_payment_that_is_in_no_block() -> None:
    """It claims a height and has no branch for it; at first it is asked once more, for it might be a reorg."""
    liar, honest = pair()
    invented = payment(1)
    liar.ledger.mempool.append(invented)
    asked: list[str] = []

    def lie() -> None:
        liar.ledger.mempool.clear()
        liar.answers["blockchain.scripthash.get_history"] = lambda _: [{"tx_hash": invented.txid, "height": 9}]
        liar.answers["blockchain.transaction.get"] = lambda _: invented.serialise().hex()

        def branch(txid: Txid, _height: int) -> dict[str, Any]:
            asked.append(txid)
            return {"merkle": ["ab" * 32], "pos": 1}

        liar.answers["blockchain.transaction.get_merkle"] = branch

    await require_left_and_forgotten(liar, honest, lie, invented.txid, "leads elsewhere")
    assert asked == [invented.txid] * 2


async def test_a_branch_that_fails_once_is_a_reorg_and_not_a_lie() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)
    honest, answers = server._blockchain_transaction_get_merkle, iter([{"merkle": ["ab" * 32], "pos": 1}])
    server.answers["blockchain.transaction.get_merkle"] = lambda *asked: next(answers, None) or honest(*asked)
    async with watching(server) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        assert watcher.servers()[0].fault == ""


async def test_a_server_on_another_branch_is_not_called_a_liar() -> None:
    """Its proofs lead to its own block, which has less work than ours."""
    ours, theirs = ScriptedServer(ledger_of(12)), ScriptedServer(ledger_of(9))
    paid = payment(1)
    theirs.ledger.mine(paid, salt=1)
    theirs.is_open = False
    async with watching(ours, theirs) as (watcher, heard):
        await heard.until(lambda: heard.tip is not None)
        theirs.is_open = True
        await until_asked(theirs, "blockchain.transaction.get_merkle", 2)
        ours.ledger.mine()
        await ours.tell_tip()
        await heard.until(lambda: heard.is_at(ours.ledger.blocks[-1].hash))
        assert paid.txid not in heard.sightings
        assert watcher.servers()[1].connected


@pytest.mark.parametrize(
    "branch",
    [
        {"merkle": ["zz" * 32], "pos": 0},
        {"merkle": ["ab" * 31], "pos": 0},
        {"merkle": ["ab" * 32] * 33, "pos": 0},
        {"merkle": ["ab" * 32], "pos": 2},
        {"merkle": ["ab" * 32], "pos": -1},
        {"merkle": ["ab" * 32], "pos": True},
        {"merkle": [], "pos": None},
        {"merkle": "ab", "pos": 0},
        {"pos": 0},
        [],
        None,
    ],
)
async def test_a_branch_that_is_none(branch: Any) -> None:
    liar, honest = pair()
    invented = payment(1)
    liar.ledger.mempool.append(invented)

    def lie() -> None:
        liar.ledger.mine(invented)
        liar.answers["blockchain.transaction.get_merkle"] = lambda _txid, _height: branch

    await require_left_and_forgotten(liar, honest, lie, invented.txid, "")


async def test_a_transaction_that_is_not_the_one_asked_for() -> None:
    liar, honest = pair()
    invented, other = payment(1), payment(2)
    liar.ledger.mempool.append(invented)

    def lie() -> None:
        liar.ledger.mempool.append(other)
        liar.answers["blockchain.transaction.get"] = lambda _: payment(2, amount=1_000_000_000).serialise().hex()

    await require_left_and_forgotten(liar, honest, lie, invented.txid, "not the one asked for")


async def test_64_bytes_are_never_a_payment() -> None:
    """They hash like an inner node of a merkle tree; a script that short could be configured by mistake."""
    tiny = Transaction(1, (TxInput(Txid("11" * 32), 0, b"\0"),), (TxOutput(Swartz(7), Script(b"\x51\x51\x51")),))
    assert len(tiny.serialise()) == 64
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(tiny, paid)
    async with watching(server, scripts=(PAYEE, Script(b"\x51\x51\x51"))) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
    assert tiny.txid not in heard.sightings


# --- headers


def forge(liar: ScriptedServer) -> None:
    """Blocks without work on top of its chain."""
    for _ in range(3):
        previous = liar.ledger.blocks[-1].header
        raw = without_work(mine(previous)[:76], target_of(EASIEST_BITS))
        liar.ledger.blocks.append(Block(raw, [coinbase(liar.ledger.height + 1, 9)]))


def forge_below(liar: ScriptedServer) -> None:
    liar.ledger.rewind(8)
    forge(liar)
    forge(liar)


def other_difficulty(liar: ScriptedServer) -> None:
    raw = mine(liar.ledger.blocks[-1].header, bits=0x207FFFFE)
    liar.ledger.blocks.append(Block(raw, [coinbase(11)]))


def other_chain(liar: ScriptedServer) -> None:
    genesis = parse_header(mine(liar.ledger.blocks[0].header))
    liar.ledger.blocks = [Block(genesis.raw, [coinbase(0)])]
    liar.ledger.mine(count=20)


def half_a_header(liar: ScriptedServer) -> None:
    liar.ledger.mine(count=2)
    liar.answers["blockchain.block.headers"] = lambda *_: {"count": 1, "hex": "00" * 79, "max": 2016}


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (forge, "does not meet the target"),
        (forge_below, "does not meet the target"),
        (other_difficulty, "wrong difficulty"),
        (other_chain, "another one from our anchor on"),
        (half_a_header, "80 bytes"),
    ],
)
async def test_headers_that_are_not_what_they_should_be(lie: Callable[[ScriptedServer], None], why: str) -> None:
    liar, honest = pair()
    invented = payment(1)
    liar.ledger.mempool.append(invented)
    await require_left_and_forgotten(liar, honest, lambda: lie(liar), invented.txid, why)


async def test_forged_headers_at_the_very_start() -> None:
    liar, honest = pair()
    forge(liar)
    async with watching(liar, honest) as (watcher, heard):
        await until_left(watcher, 0, "does not meet the target")
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))


async def test_a_server_of_another_network() -> None:
    liar, honest = pair()
    liar.answers["server.features"] = lambda: {"genesis_hash": "00" * 32}
    async with watching(liar, honest) as (watcher, heard):
        await until_left(watcher, 0, "another network than doichain-regtest")
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))


async def test_another_genesis_under_the_right_name() -> None:
    liar, honest = pair()
    other_chain(liar)
    async with watching(liar, honest) as (watcher, heard):
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))
        await until_left(watcher, 0, "")


async def test_a_server_on_the_dead_side_of_the_split() -> None:
    dead, living = ScriptedServer(ledger_of(3)), ScriptedServer(ledger_of(3))
    dead.ledger.mine(count=9, salt=1)
    living.ledger.mine(count=3, salt=2)
    split = PinnedBlock(4, living.ledger.blocks[4].hash)
    dead.ledger.network = living.ledger.network = replace(DOICHAIN_REGTEST, split_block=split)
    async with watching(dead, living) as (watcher, heard):
        await until_left(watcher, 0, "dead side of the split")
        await heard.until(lambda: heard.is_at(living.ledger.blocks[-1].hash))


# --- nonsense


NONSENSE: list[Any] = [None, 17, "x", [], {}, [17], {"height": "1", "hex": "00"}, {"height": 3}, [{"tx_hash": "x"}]]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    "method",
    [
        "server.features",
        "blockchain.headers.subscribe",
        "blockchain.block.headers",
        "blockchain.scripthash.subscribe",
        "blockchain.scripthash.get_history",
        "blockchain.transaction.get",
    ],
)
async def test_nonsense_instead_of_an_answer(method: str, nonsense: Any) -> None:
    """Whatever one server answers, the payment that another shows is told."""
    liar, honest = pair()
    liar.answers[method] = lambda *_: nonsense
    paid = payment(1)
    for server in (liar, honest):
        server.ledger.mine(paid, salt=5)
    async with watching(liar, honest) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        await until_asked(liar, method)
        honest.ledger.mine()
        await honest.tell_tip()
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))
        assert watcher.servers()[1].fault == ""


@pytest.mark.parametrize(
    "parameters",
    [[], [17], [{"height": -1, "hex": ""}], [{"height": 1 << 40, "hex": "00" * 80}], [None]],
)
async def test_nonsense_as_a_notification(parameters: list[Any]) -> None:
    liar, honest = pair()
    async with watching(liar, honest) as (watcher, heard):
        await until_asked(liar, "blockchain.scripthash.subscribe")
        await liar.tell("blockchain.headers.subscribe", *parameters)
        await until_left(watcher, 0, "")
        honest.ledger.mine()
        await honest.tell_tip()
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))


async def test_notifications_that_nobody_asked_for_are_no_fault() -> None:
    server = ScriptedServer(ledger_of(3))
    async with watching(server) as (watcher, heard):
        await until_asked(server, "blockchain.scripthash.subscribe")
        await server.tell("blockchain.relayfee")
        await server.tell("blockchain.scripthash.subscribe", "ab" * 32, None)
        server.ledger.mine()
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        assert watcher.servers()[0].fault == ""


@pytest.mark.parametrize(
    "method",
    ["server.version", "server.features", "blockchain.headers.subscribe", "blockchain.scripthash.subscribe"],
)
async def test_a_server_that_refuses_what_we_need_is_visited_again(method: str) -> None:
    server, refusals = ScriptedServer(ledger_of(3)), iter(range(2))
    honest = getattr(server, "_" + method.replace(".", "_"))

    def refuse_twice(*parameters: Any) -> Any:
        if next(refusals, None) is not None:
            raise Refusal("server busy")
        return honest(*parameters)

    server.answers[method] = refuse_twice
    paid = payment(1)
    server.ledger.mine(paid)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 4)


async def test_a_history_that_is_refused_is_the_other_servers_to_tell() -> None:
    refusing, honest = pair()
    paid = payment(1)

    def refuse(_hash: str) -> Any:
        raise Refusal("history too large")

    refusing.answers["blockchain.scripthash.get_history"] = refuse
    honest.ledger.mine(paid)
    async with watching(refusing, honest) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        assert watcher.servers()[0].connected


@pytest.mark.parametrize("event", ["electrum.history_refused", "electrum.payments_left_to_read"])
async def test_what_a_server_does_again_and_again_is_told_once(event: str) -> None:
    """Catches: it refuses every other time, or shows a backlog that comes and goes: ten lines a second, for ever."""
    server, times = ScriptedServer(ledger_of(3)), count()

    def now_and_then(_: str) -> list[dict[str, object]]:
        if next(times) % 2 == 0:
            return []
        if event == "electrum.history_refused":
            raise Refusal("busy")
        return [{"tx_hash": f"{number:064x}", "height": 0} for number in range(60)]

    server.answers["blockchain.scripthash.get_history"] = now_and_then
    with structlog.testing.capture_logs() as lines:
        async with watching(server):
            for asked in range(1, 20):
                await until_asked(server, "blockchain.scripthash.get_history", asked)
                await server.tell("blockchain.scripthash.subscribe", scripthash(PAYEE), "moved")
    assert [line["event"] for line in lines].count(event) == 1


async def test_a_history_that_was_refused_once_is_asked_for_again() -> None:
    server, paid, remembered = ScriptedServer(ledger_of(3)), payment(1), payment(2)
    honest, refusals = server._blockchain_scripthash_get_history, iter(range(2))

    def refuse_twice(hash_: str) -> Any:
        if next(refusals, None) is not None:
            raise Refusal("server busy - request timed out")
        return honest(hash_)

    server.answers["blockchain.scripthash.get_history"] = refuse_twice
    server.ledger.mempool.append(remembered)
    server.ledger.mine(paid)
    async with watching(server, patience=checking_in_often(), remembered={remembered.txid: None}) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 4 and heard.is_unproven(remembered.txid))
        assert heard.gone == []  # what it did not tell is not gone


async def test_nothing_is_gone_before_every_server_has_been_heard() -> None:
    (busy, other), remembered = pair(), payment(1)
    busy.ledger.mempool.append(remembered)
    honest, is_busy = busy._blockchain_scripthash_get_history, True

    def refuse_while_busy(hash_: str) -> Any:
        if is_busy:
            raise Refusal("server busy - request timed out")
        return honest(hash_)

    busy.answers["blockchain.scripthash.get_history"] = refuse_while_busy
    async with watching(busy, other, patience=checking_in_often(), remembered={remembered.txid: None}) as (_, heard):
        await until_asked(busy, "blockchain.scripthash.get_history", 2)
        await until_asked(other, "blockchain.headers.subscribe", 3)  # it was looked at in full
        assert heard.gone == []
        is_busy = False
        await heard.until(lambda: heard.is_unproven(remembered.txid))
        assert heard.gone == []


async def test_a_mempool_full_of_inventions_fills_no_memory() -> None:
    """A great transaction is told once it is proven; of very many small ones, those that weigh least are put aside, and
    what another server brought is none of them."""
    liar, honest = pair()
    big = Transaction(2, (TxInput(Txid("11" * 32), 0, bytes(30_000)),), (TxOutput(Swartz(5), PAYEE),))
    true, invented = payment(5_000, amount=1), [payment(number) for number in range(1, 1300)]
    liar.ledger.mempool += [big, *invented]
    honest.ledger.mempool.append(true)
    async with watching(liar, honest) as (watcher, heard):
        sightings, asked = watcher._view.sightings, len(invented) + 1
        await until_asked(liar, "blockchain.transaction.get", asked)
        await heard.until(lambda: len(heard.sightings) > 900 and heard.is_unproven(true.txid))
        assert 900 <= sightings.unproven_of(liar.url) <= MOST_IN_MEMPOOL
        assert sightings.unproven_of(honest.url) == 1
        for times in (2, 3):  # looks again, and has read what it wanted then
            await liar.tell_script()
            await until_asked(liar, "blockchain.scripthash.get_history", times)
        assert liar.asked["blockchain.transaction.get"] == asked, "what was put aside is not read again"
        assert big.txid not in heard.sightings
        honest.ledger.mine(big, true, count=2)
        await honest.tell_all()
        await heard.until(lambda: heard.proven_at(big.txid) == heard.proven_at(true.txid) == 11)


def test_great_inventions_of_one_server_are_not_told_before_what_another_shows() -> None:
    """Catches: inventions that name any amount, ever new ones, and a payment whose turn never comes."""
    sightings, true = Sightings({}), payment(5_000, amount=1)
    sightings.add_scripts([PAYEE])
    invented = [payment(number, amount=10**12) for number in range(1, 500)]
    for server, shown in (("liar", [*invented, true]), ("honest", [true])):
        sightings.show(server, "of PAYEE", [HistoryRow(each.txid, 0) for each in shown])
    for each in (true, *invented):
        sightings.learn("liar", each)
    (told,) = [each for each in sightings.take_changes() if isinstance(each, Sighting) and each.txid == true.txid]
    assert told.shown_by == {"liar", "honest"}


async def test_that_a_second_server_shows_it_too_is_told() -> None:
    first, second = pair()
    paid = payment(1)
    first.ledger.mempool.append(paid)
    async with watching(first, second) as (_, heard):
        await heard.until(lambda: heard.is_unproven(paid.txid))
        second.ledger.mempool.append(paid)
        await until_asked(second, "blockchain.scripthash.subscribe")
        await second.tell_script()
        await heard.until(lambda: heard.sightings[paid.txid].shown_by == {first.url, second.url})


class SlowlyStored(Heard):
    """Each payment takes as long as a database takes to store it."""

    async def payment_seen(self, sighting: Sighting) -> None:
        await trio.sleep(0.005)
        await super().payment_seen(sighting)


async def test_a_server_that_shows_ever_new_inventions_does_not_keep_the_chain_unread() -> None:
    """Catches: there is always one more thing to tell, so nothing is freed or swept in this run, and the disk fills."""
    liar, honest = pair()
    honest.ledger.mine(payment(1))
    liar.ledger.blocks = list(honest.ledger.blocks)
    heard, numbers = SlowlyStored(), count(1000)

    def ever_new(hash_: str) -> list[dict[str, object]]:
        liar.ledger.mempool = [payment(next(numbers)) for _ in range(20)]
        return liar._blockchain_scripthash_get_history(hash_)

    liar.answers["blockchain.scripthash.get_history"] = ever_new
    was_read, is_flooding = 0, True

    async def flood() -> None:
        while is_flooding:
            await liar.tell_script()
            await trio.sleep(0.001)

    async with watching(honest, liar, heard=heard) as (watcher, _), trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        await heard.until(lambda: len(heard.transcript) > 200)
        for _ in range(100):
            was_read += await watcher.is_read()
            await trio.sleep(0.003)
        is_flooding = False
    assert heard.proven_at(payment(1).txid) == 11
    assert was_read == 100


async def test_a_mined_payment_is_not_told_before_it_is_proven() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)

    def refuse(*_: Any) -> Any:
        raise Refusal("tx not in block")

    server.answers["blockchain.transaction.get_merkle"] = refuse
    async with watching(server) as (_, heard):
        await until_asked(server, "blockchain.transaction.get_merkle")
        server.ledger.mine()
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        assert paid.txid not in heard.sightings
