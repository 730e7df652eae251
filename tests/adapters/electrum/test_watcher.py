"""What the watcher tells while servers are honest: seen, proven, reorged, gone, away and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.adapters.electrum.endpoint import BadServerUrl
from pinning_worker.adapters.electrum.header_file import HeaderFile
from pinning_worker.adapters.electrum.session import STATUSES_AT_ONCE
from pinning_worker.adapters.electrum.sightings import Sightings
from pinning_worker.adapters.electrum.watcher import MOST_SERVERS, PaymentWatcher
from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, name_doi_script
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Anchor, Network, Retarget2016
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, fold_merkle_branch
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.payment import PaidOutput, Proof
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.ports.world import DiskFull
from tests.adapters.electrum.listening import Heard, eventually
from tests.adapters.electrum.scripted import ANOTHER_PAYEE, PAYEE, Ledger, Refusal, ScriptedServer, payment
from tests.adapters.electrum.watching import BRISK, LONGEST_UNSEEN, ClockAt, checking_in_often, until_asked, watching

BOTH = pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "ws"])


def ledger_of(blocks: int) -> Ledger:
    ledger = Ledger()
    ledger.mine(count=blocks)
    return ledger


@BOTH
async def test_a_payment_is_seen_then_proven(websocket: bool) -> None:
    server, paid = ScriptedServer(ledger_of(20), websocket), payment(1)
    async with watching(server) as (watcher, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        await until_asked(server, "blockchain.scripthash.subscribe")
        server.ledger.mempool.append(paid)
        await server.tell_script()
        await heard.until(lambda: heard.is_unproven(paid.txid))
        block = server.ledger.mine(paid, merged=True)
        await server.tell_all()
        await heard.until(lambda: heard.proven_at(paid.txid) == 21)
        sighting = heard.sightings[paid.txid]
        assert (sighting.name, sighting.value) == (b"art/1", b"ipfs://bafkreihdwdcef")
        assert sighting.outputs == (PaidOutput(1, Swartz(7_004_482)),)
        assert sighting.proof is not None
        assert sighting.proof.block_hash == block.hash
        assert sighting.proof.time.timestamp() == block.header.time
        tip = await watcher.tip()
        assert tip is not None
        assert (tip.height, tip.hash, await watcher.has_block(21, block.hash)) == (21, block.hash, True)
        assert not await watcher.has_block(22, block.hash)
    assert heard.transcript == [
        "tip 20",
        f"seen {paid.txid} unproven",
        "tip 21",
        f"seen {paid.txid} 21",
    ]


async def test_a_header_that_follows_needs_no_question() -> None:
    server = ScriptedServer(ledger_of(3))
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        asked = server.asked["blockchain.block.headers"]
        server.ledger.mine(merged=True)
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        assert server.asked["blockchain.block.headers"] == asked


async def test_payments_of_the_past_are_told_at_the_start() -> None:
    server, first, second = ScriptedServer(ledger_of(3)), payment(1), payment(2)
    server.ledger.mine(first, count=5)
    server.ledger.mempool.append(second)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(first.txid) == 4 and heard.is_unproven(second.txid))
    assert heard.transcript[0] == "tip 8"


async def test_a_new_payment_and_a_new_block_do_not_wait_for_those_of_years() -> None:
    """What that server may be asked for is used up long before the backlog is read."""
    server, late = ScriptedServer(ledger_of(3)), payment(1_000)
    server.ledger.mine(*(payment(number) for number in range(1, 500)))
    async with watching(server, patience=replace(BRISK, burst=300.0, per_second=0.001)) as (_, heard):
        await heard.until(lambda: len(heard.sightings) >= 10)
        await until_asked(server, "blockchain.transaction.get", 100)
        server.ledger.mempool.append(late)
        await server.tell_script()
        await heard.until(lambda: heard.is_unproven(late.txid))
        server.ledger.mine(late)
        await server.tell_all()
        await heard.until(lambda: heard.proven_at(late.txid) == server.ledger.height)
        assert len(heard.sightings) < 400, "the backlog was no backlog"


async def test_what_another_session_reads_meanwhile_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: while one session goes through its rows another reads what both are to read, and nothing is left to ask
    of the server, nor to take of its answer."""
    server, paid, late = ScriptedServer(ledger_of(3)), payment(1), payment(2)
    shown = Sightings.shown

    def shown_and_read_meanwhile(sightings: Sightings, name: str) -> Iterator[list[HistoryRow]]:
        for piece in shown(sightings, name):
            yield piece
            if paid.txid in [row.txid for row in piece] and sightings.is_unread(paid.txid):
                sightings.learn("another", paid)

    monkeypatch.setattr(Sightings, "shown", shown_and_read_meanwhile)
    server.ledger.mempool.append(paid)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.is_unproven(paid.txid))
        server.ledger.mempool.append(late)
        await server.tell_script()
        await heard.until(lambda: heard.is_unproven(late.txid))


async def test_a_backlog_stands_still_once_the_server_may_be_asked_for_no_more() -> None:
    """Catches: each look rings for the next, which reads its ten most urgent rows whatever was asked already: a pile of
    dust is read through until the server hangs up on us."""
    server = ScriptedServer(ledger_of(3))
    server.ledger.mine(*(payment(number) for number in range(1, 500)))
    async with watching(server, patience=replace(BRISK, burst=300.0, per_second=0.001)):
        await until_asked(server, "blockchain.transaction.get", 100)
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert server.asked["blockchain.transaction.get"] < 200


async def test_a_backlog_is_read_to_its_end_as_fast_as_the_server_may_be_asked() -> None:
    server, all_of_them = ScriptedServer(ledger_of(3)), {payment(number).txid for number in range(1, 700)}
    server.ledger.mine(*(payment(number) for number in range(1, 700)))
    async with watching(server, patience=checking_in_often(burst=300.0, per_second=2_000.0)) as (_, heard):
        await heard.until(lambda: heard.sightings.keys() == all_of_them)
        assert server.asked["blockchain.transaction.get"] == len(all_of_them), "each once"


async def test_only_outputs_that_equal_a_payment_script_are_paid() -> None:
    """A name output that our address owns, a spend of ours, change: all in its history, none of it pays."""
    named = name_doi_script(NameBytes(b"art/9"), b"ipfs://x", PAYEE)
    outputs = [TxOutput(Swartz(1), PAYEE), TxOutput(Swartz(2), ANOTHER_PAYEE), TxOutput(Swartz(3), PAYEE)]
    paid = Transaction(NAME_TX_VERSION, (TxInput(Txid("11" * 32), 0),), (TxOutput(Swartz(1_000_000), named), *outputs))
    spent = Transaction(2, (TxInput(paid.txid, 1),), (TxOutput(Swartz(1), ANOTHER_PAYEE),))
    server = ScriptedServer(ledger_of(3))
    server.ledger.mine(paid, spent)
    history = server._blockchain_scripthash_get_history
    server.answers["blockchain.scripthash.get_history"] = lambda hash_: [
        *history(hash_),
        {"tx_hash": spent.txid, "height": 4},
    ]
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 4)
        assert heard.sightings[paid.txid].outputs == (PaidOutput(1, Swartz(1)), PaidOutput(3, Swartz(3)))
        server.ledger.mine()
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
    assert spent.txid not in heard.sightings


async def test_a_payment_without_a_name_is_told_without_one() -> None:
    plain = Transaction(2, (TxInput(Txid("11" * 32), 0),), (TxOutput(Swartz(5), PAYEE),))
    server = ScriptedServer(ledger_of(3))
    server.ledger.mine(plain)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(plain.txid) == 4)
    assert (heard.sightings[plain.txid].name, heard.sightings[plain.txid].value) == (None, None)


async def test_a_script_watched_later_brings_its_history() -> None:
    server, first, second = ScriptedServer(ledger_of(3)), payment(1), payment(2, script=ANOTHER_PAYEE)
    server.ledger.mine(first, second)
    async with watching(server) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(first.txid) == 4)
        assert second.txid not in heard.sightings
        await watcher.watch([ANOTHER_PAYEE])
        await heard.until(lambda: heard.proven_at(second.txid) == 4)


async def test_a_transaction_known_already_may_pay_a_script_watched_later() -> None:
    both = Transaction(
        2, (TxInput(Txid("11" * 32), 0),), (TxOutput(Swartz(5), PAYEE), TxOutput(Swartz(6), ANOTHER_PAYEE))
    )
    server = ScriptedServer(ledger_of(3))
    server.ledger.mine(both)
    async with watching(server) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(both.txid) == 4)
        assert len(heard.sightings[both.txid].outputs) == 1
        await watcher.watch([ANOTHER_PAYEE, PAYEE])
        await heard.until(lambda: len(heard.sightings[both.txid].outputs) == 2)
        assert heard.proven_at(both.txid) == 4


# --- reorgs


async def test_a_reorg_takes_the_proof_back_and_another_block_gives_it_again() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid, count=2)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        server.ledger.rewind(11)
        server.ledger.mine(count=3, salt=1)
        server.ledger.mempool.append(paid)
        await server.tell_all()
        await heard.until(lambda: heard.is_unproven(paid.txid))
        assert (heard.forks, heard.tip and heard.tip.height) == ([11], 13)
        server.ledger.mine(paid)
        await server.tell_all()
        await heard.until(lambda: heard.proven_at(paid.txid) == 14)
    assert heard.gone == []


async def test_a_reorg_that_moves_a_payment_to_another_block_of_the_same_height() -> None:
    """The script's status is the same before and after: ElectrumX says nothing, our headers do."""
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        server.ledger.rewind(11)
        block = server.ledger.mine(paid, count=2, salt=1)
        await server.tell_tip()
        await heard.until(
            lambda: (proof := heard.sightings[paid.txid].proof) is not None and proof.block_hash == block.hash
        )
    assert heard.forks == [11]


async def test_a_reorg_that_one_server_tells_of_makes_us_ask_the_other() -> None:
    """The one with the payment has moved to the new branch as well, and has not said so."""
    shared, paid = ledger_of(10), payment(1)
    shared.mine(paid)
    showing, telling = ScriptedServer(shared), ScriptedServer(shared)
    telling.answers["blockchain.scripthash.get_history"] = lambda _hash: []
    async with watching(showing, telling) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        await eventually(lambda: all(state.height == 11 for state in watcher.servers()), "both are there")
        shared.rewind(11)
        block = shared.mine(paid, count=2, salt=1)
        await telling.tell_tip()
        await heard.until(
            lambda: (proof := heard.sightings[paid.txid].proof) is not None and proof.block_hash == block.hash
        )


async def test_a_proof_that_was_asked_for_before_a_reorg_proves_nothing_after_it() -> None:
    """The server answers truly, and late: while it thinks, another one brings a branch with more work, without the
    payment. Its answer then leads to a header that is ours no longer."""
    merkle = "blockchain.transaction.get_merkle"
    slow, quick, paid = ScriptedServer(ledger_of(10)), ScriptedServer(Ledger()), payment(1)
    quick.ledger = slow.ledger.copy()
    slow.ledger.mine(paid)
    answer = trio.Event()

    async def think() -> None:
        if slow.asked[merkle]:
            await answer.wait()

    slow.think = think  # type: ignore[method-assign]  # this one thinks
    async with watching(slow, quick, patience=checking_in_often()) as (_, heard):
        await until_asked(slow, merkle)
        quick.ledger.mine(count=3, salt=1)
        await quick.tell_tip()
        await heard.until(lambda: heard.is_at(quick.ledger.blocks[-1].hash))
        answer.set()
        await eventually(
            lambda: slow.asked[merkle] > 1 or heard.proven_at(paid.txid) is not None, "the answer was judged"
        )
        assert heard.proven_at(paid.txid) is None


async def test_a_deep_reorg_is_found_from_where_it_began() -> None:
    server = ScriptedServer(ledger_of(60))
    async with watching(server) as (watcher, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        server.ledger.rewind(7)
        server.ledger.mine(count=58, salt=1)
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        assert heard.forks == [7]
        assert await watcher.has_block(30, server.ledger.blocks[30].hash)


async def test_a_rival_without_more_work_changes_nothing() -> None:
    honest, rival = ScriptedServer(ledger_of(10)), ScriptedServer(ledger_of(6))
    rival.ledger.mine(count=4, salt=1)
    async with watching(honest) as (_, heard):
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))
    async with watching(honest, rival) as (watcher, heard):
        await until_asked(rival, "blockchain.block.headers", 2)
        honest.ledger.mine()
        await honest.tell_tip()
        await heard.until(lambda: heard.is_at(honest.ledger.blocks[-1].hash))
        assert await watcher.has_block(10, honest.ledger.blocks[10].hash)


async def test_a_payment_that_left_the_mempool_is_gone() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mempool.append(paid)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.is_unproven(paid.txid))
        server.ledger.mempool.clear()
        await server.tell_script()
        await heard.until(lambda: heard.gone == [paid.txid])


async def test_a_payment_that_a_reorg_double_spends_is_gone() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        server.ledger.rewind(11)
        server.ledger.mine(count=2, salt=1)
        await server.tell_all()
        await heard.until(lambda: heard.gone == [paid.txid])
    assert heard.forks == [11]


async def test_what_was_told_once_is_told_gone_once() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mempool.append(paid)
    async with watching(server) as (_, heard):
        for gone in (1, 2):
            await heard.until(lambda: heard.is_unproven(paid.txid))
            server.ledger.mempool.clear()
            await server.tell_script()
            await heard.until(lambda gone=gone: len(heard.gone) == gone)  # type: ignore[misc]  # a default, not a parameter
            server.ledger.mempool.append(paid)
            await server.tell_script()


# --- away and back


async def test_a_payment_made_while_no_server_was_there_is_seen_afterwards() -> None:
    server, before, meanwhile = ScriptedServer(ledger_of(10)), payment(1), payment(2)
    server.ledger.mempool.append(before)
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.is_unproven(before.txid))
        server.is_open = False
        server.hang_up()
        server.ledger.mine(before, meanwhile, count=3)
        server.is_open = True
        await heard.until(lambda: heard.proven_at(before.txid) == 11 and heard.proven_at(meanwhile.txid) == 11)
    assert heard.gone == []


async def test_a_payment_is_not_gone_because_the_server_that_showed_it_is_away() -> None:
    paid, shared = payment(1), ledger_of(10)
    showing, other = ScriptedServer(shared.copy()), ScriptedServer(shared)
    showing.ledger.mempool.append(paid)
    async with watching(showing, other) as (_, heard):
        await heard.until(lambda: heard.is_unproven(paid.txid))
        showing.is_open = False
        showing.hang_up()
        other.ledger.mine(count=2)
        await other.tell_tip()
        await heard.until(lambda: heard.is_at(other.ledger.blocks[-1].hash))
        assert heard.gone == []
        showing.ledger = other.ledger  # it comes back, and shows it no more
        showing.is_open = True
        await heard.until(lambda: heard.gone == [paid.txid])


async def test_one_honest_server_is_enough_against_one_that_leaves_out() -> None:
    shared, paid = ledger_of(10), payment(1)
    silent, honest = ScriptedServer(shared), ScriptedServer(shared)
    silent.answers["blockchain.scripthash.get_history"] = lambda _hash: []
    silent.answers["blockchain.scripthash.subscribe"] = lambda _hash: None
    shared.mine(paid)
    async with watching(silent, honest) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)


async def test_a_server_that_notifies_of_nothing_is_asked() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    async with watching(server, patience=checking_in_often()) as (_, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        server.ledger.mempool.append(paid)
        await heard.until(lambda: heard.is_unproven(paid.txid))
        server.ledger.mine(paid)
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)


async def test_however_many_scripts_there_are_each_has_its_turn() -> None:
    server = ScriptedServer(ledger_of(10))
    scripts = tuple(Script(b"\x00\x14" + number.to_bytes(20)) for number in range(2 * STATUSES_AT_ONCE + 1))
    async with watching(server, patience=checking_in_often(), scripts=scripts) as (_, heard):
        await until_asked(server, "blockchain.scripthash.get_history", len(scripts))
        await until_asked(server, "blockchain.headers.subscribe", 3)  # it checks in, and knows all that there is
        paid = [payment(number, script=script) for number, script in enumerate(scripts)]
        server.ledger.mempool += paid  # and it notifies of none of them
        await heard.until(lambda: all(heard.is_unproven(one.txid) for one in paid))


async def test_a_server_that_falls_silent_is_left_and_visited_again() -> None:
    server = ScriptedServer(ledger_of(10))
    async with watching(server, patience=checking_in_often(answer_seconds=0.1)) as (watcher, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        server.is_silent = True
        await eventually(lambda: "no answer" in watcher.servers()[0].fault, "the silence is noticed")
        server.is_silent = False
        server.ledger.mine()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))


async def test_a_tip_that_stands_still_makes_us_connect_again() -> None:
    server = ScriptedServer(ledger_of(10))
    async with watching(server, patience=checking_in_often(stale_seconds=0.05)) as (watcher, _):
        await until_asked(server, "server.version", 3)
        assert "not moved" in watcher.servers()[0].fault


async def test_a_server_that_stays_behind_is_left() -> None:
    ahead, behind = ScriptedServer(ledger_of(10)), ScriptedServer(ledger_of(6))
    behind.ledger.blocks = ahead.ledger.blocks[:7]
    async with watching(ahead, behind, patience=checking_in_often(behind_seconds=0.05)) as (watcher, _):
        await until_asked(behind, "server.version", 3)
        first, second = watcher.servers()
        assert (first.height, first.fault) == (10, "")
        assert "behind" in second.fault


async def test_every_server_is_away_at_the_start() -> None:
    server = ScriptedServer(ledger_of(10), is_open=False)
    async with watching(server) as (watcher, heard):
        await eventually(lambda: watcher.servers()[0].fault != "", "a first try fails")
        assert await watcher.tip() is None
        assert not await watcher.has_block(3, server.ledger.blocks[3].hash)
        server.is_open = True
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))


# --- headers


@BOTH
async def test_answers_that_would_be_too_large_are_asked_for_in_smaller_pieces(websocket: bool) -> None:
    server = ScriptedServer(ledger_of(40), websocket)
    honest = server._blockchain_block_headers

    def at_most_seven(start: int, count: int) -> Any:
        if count > 7:
            raise Refusal("response too large")
        return honest(start, count)

    server.answers["blockchain.block.headers"] = at_most_seven
    async with watching(server) as (_, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
    assert heard.transcript == ["tip 40"]  # the tips on the way are nobody's business


async def test_two_servers_are_not_asked_for_the_same_headers_twice() -> None:
    """After the first piece, whoever was slower lets the other go on; the wait is longer than this test."""
    shared = ledger_of(60)
    servers = ScriptedServer(shared), ScriptedServer(shared)
    for server in servers:
        server.answers["blockchain.block.headers"] = partial(few_headers, server)
    async with watching(*servers, patience=replace(BRISK, courtesy_seconds=1000.0)) as (_, heard):
        await heard.until(lambda: heard.is_at(shared.blocks[-1].hash))
        assert min(server.asked["blockchain.block.headers"] for server in servers) <= 4
        assert max(server.asked["blockchain.block.headers"] for server in servers) >= 12


async def test_when_the_faster_one_stalls_the_other_goes_on() -> None:
    shared = ledger_of(60)
    stalling, other = ScriptedServer(shared), ScriptedServer(shared)
    for server in (stalling, other):
        server.answers["blockchain.block.headers"] = partial(few_headers, server)
    other.is_open = False
    async with watching(stalling, other, patience=replace(BRISK, courtesy_seconds=0.01)) as (_, heard):
        await until_asked(stalling, "blockchain.block.headers", 3)
        stalling.is_silent = True
        other.is_open = True
        await heard.until(lambda: heard.is_at(shared.blocks[-1].hash))


def few_headers(server: ScriptedServer, start: int, count: int) -> Any:
    return server._blockchain_block_headers(start, min(count, 5))


def anchored_at(height: int, ledger: Ledger) -> Network:
    anchor = Anchor(height, ledger.blocks[height].hash)
    return replace(DOICHAIN_REGTEST, difficulty=Retarget2016(16), anchor=anchor)


async def test_a_chain_from_a_checkpoint_fetches_what_later_rules_look_back_to() -> None:
    ledger = ledger_of(30)
    ledger.network = anchored_at(20, ledger)
    server, paid = ScriptedServer(ledger), payment(1)
    ledger.mine(paid)
    starts: list[int] = []
    honest = server._blockchain_block_headers

    def noting(start: int, count: int) -> Any:
        starts.append(start)
        return honest(start, count)

    server.answers["blockchain.block.headers"] = noting
    async with watching(server) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 31)
        assert await watcher.has_block(9, "of an earlier run, which the anchor commits to")
    assert starts == [10, 21]


async def test_a_server_that_is_still_behind_the_checkpoint_is_waited_for() -> None:
    ledger = ledger_of(30)
    row = anchored_at(20, ledger)
    young = ledger.copy()
    young.rewind(15)
    ledger.network = young.network = row
    server = ScriptedServer(young)
    async with watching(server) as (watcher, heard):
        await eventually(lambda: "behind our anchor" in watcher.servers()[0].fault, "it is too young")
        server.ledger = ledger
        await heard.until(lambda: heard.is_at(ledger.blocks[-1].hash))


async def test_headers_survive_a_restart(tmp_path: Path) -> None:
    server, paid = ScriptedServer(ledger_of(30)), payment(1)
    server.ledger.mine(paid)
    stored = HeaderFile(tmp_path, DOICHAIN_REGTEST)

    def stored_height() -> int:
        chain = stored.load()
        return chain.tip_height if chain else -1

    async with watching(server, headers=stored) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 31)
        await eventually(lambda: stored_height() == 31, "the headers are stored")
    server.asked.clear()
    server.ledger.mine()
    async with watching(server, headers=stored) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 31)
        assert await watcher.has_block(5, server.ledger.blocks[5].hash)
        assert server.asked["blockchain.block.headers"] == 0
        server.ledger.rewind(29)
        server.ledger.mine(paid, count=5, salt=1)
        await server.tell_all()
        await heard.until(lambda: heard.proven_at(paid.txid) == 29)
        await eventually(lambda: stored_height() == 33, "the new branch is stored")


async def test_a_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    server = ScriptedServer(ledger_of(10))
    directory = tmp_path / "later"
    stored = HeaderFile(directory, DOICHAIN_REGTEST)
    async with watching(server, headers=stored) as (_, heard):
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        directory.mkdir()
        server.ledger.mine()
        await server.tell_tip()
        await eventually(lambda: (chain := stored.load()) is not None and chain.tip_height == 11, "stored after all")


# --- what was told in an earlier run


async def remember(server: ScriptedServer) -> dict[Txid, Proof | None]:
    async with watching(server) as (_, heard):
        await heard.until(lambda: len(heard.sightings) == len(server.ledger.history(scripthash(PAYEE))))
    return {txid: sighting.proof for txid, sighting in heard.sightings.items()}


async def test_what_is_remembered_and_still_proven_is_not_asked_for_again() -> None:
    server, old, new = ScriptedServer(ledger_of(10)), payment(1), payment(2)
    server.ledger.mine(old)
    remembered = await remember(server)
    server.asked.clear()
    server.ledger.mine(new)
    async with watching(server, remembered=remembered) as (_, heard):
        await heard.until(lambda: heard.proven_at(new.txid) == 12)
        assert old.txid not in heard.sightings
    assert server.asked["blockchain.transaction.get"] == 1


async def test_what_is_remembered_without_its_payment_proof_is_read_once_more() -> None:
    """Payments of a version that kept no proofs. They are told with the proof that the books lack."""
    server, old, other = ScriptedServer(ledger_of(10)), payment(1), payment(2)
    server.ledger.mine(old, other)
    remembered = await remember(server)
    server.asked.clear()
    async with watching(server, remembered=remembered, read_again=[old.txid]) as (_, heard):
        await heard.until(lambda: heard.proven_at(old.txid) == 11)
        assert heard.sightings[old.txid].payment_proof is not None
        assert heard.sightings[old.txid].proof == remembered[old.txid]
        server.ledger.mine()
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
    assert server.asked["blockchain.transaction.get"] == 1


@pytest.mark.parametrize("from_mempool", [True, False])
async def test_a_payment_is_told_with_all_that_proves_it(from_mempool: bool) -> None:
    """Catches: a payment that was read in the mempool, and whose bytes are not kept with its proof."""
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    if from_mempool:
        server.ledger.mempool.append(paid)
    async with watching(server) as (_, heard):
        if from_mempool:
            await heard.until(lambda: paid.txid in heard.sightings)
            assert heard.sightings[paid.txid].payment_proof is None
            server.ledger.mempool.clear()
        block = server.ledger.mine(payment(2), paid, payment(3))
        await server.tell_all()
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        proof = heard.sightings[paid.txid].payment_proof
    assert proof is not None
    assert (proof.txid, proof.transaction, proof.header) == (paid.txid, paid.serialise_base(), block.header.raw)
    assert fold_merkle_branch(paid.txid, proof.branch, proof.position) == block.header.merkle_root


async def test_a_remembered_proof_that_fell_meanwhile_is_told_anew() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)
    remembered = await remember(server)
    server.ledger.rewind(11)
    server.ledger.mine(count=1, salt=1)
    block = server.ledger.mine(paid)
    async with watching(server, remembered=remembered) as (_, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 12)
        proof = heard.sightings[paid.txid].proof
        assert proof is not None
        assert proof.block_hash == block.hash


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_proof_above_a_chain_that_is_had_anew_stands_until_the_headers_reach_it(replaced: bool) -> None:
    """The header file is lost, and the only server is young: its tip below the payment says nothing of the payment."""
    ledger, paid = ledger_of(20), payment(1)
    ledger.mine(paid, count=5)
    young = ledger.copy()
    young.rewind(12)
    server = ScriptedServer(young)
    block = ledger.blocks[21]
    proof = Proof(21, block.hash, datetime.fromtimestamp(block.header.time, UTC))
    async with watching(server, remembered={paid.txid: proof}) as (_, heard):
        await heard.until(lambda: heard.tip is not None and heard.tip.height == 11)
        server.ledger.mine(count=8, salt=1 if replaced else 0)
        await server.tell_all()
        await heard.until(lambda: heard.tip is not None and heard.tip.height == 19)
        assert "seen" not in " ".join(heard.transcript)
        if replaced:
            server.ledger.mine(count=6, salt=1)
        else:
            server.ledger = ledger
        await server.tell_all()
        await heard.until(lambda: heard.tip is not None and heard.tip.height == 25)
        if replaced:
            await heard.until(lambda: heard.gone == [paid.txid])
        else:
            assert heard.gone == []


@pytest.mark.parametrize("was_proven", [True, False])
async def test_what_is_remembered_and_nowhere_any_more_is_gone(was_proven: bool) -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    if was_proven:
        server.ledger.mine(paid)
    else:
        server.ledger.mempool.append(paid)
    remembered = await remember(server)
    assert (remembered[paid.txid] is not None) == was_proven
    server.ledger.rewind(11)
    server.ledger.mempool.clear()
    server.ledger.mine(count=2, salt=1)
    async with watching(server, remembered=remembered) as (_, heard):
        await heard.until(lambda: heard.gone == [paid.txid])


# --- telling


class Slow(Heard):
    """A listener that takes its time with the first thing it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = trio.Event()

    async def tip_moved(self, tip: Any, fork_height: int | None) -> None:
        await super().tip_moved(tip, fork_height)
        await self.go_on.wait()


async def test_a_slow_listener_hears_what_is_and_not_all_that_was() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    async with watching(server):
        slow = Slow()
        async with trio.open_nursery() as nursery:
            other = PaymentWatcher(
                DOICHAIN_REGTEST,
                ClockAt(),
                [server.url],
                longest_unseen=LONGEST_UNSEEN,
                scripts=[PAYEE],
                patience=BRISK,
            )
            await nursery.start(other.run, slow)
            await slow.until(lambda: slow.tip is not None)
            for _ in range(3):
                server.ledger.mine()
                await server.tell_tip()
            server.ledger.mine(paid)
            await server.tell_all()
            await until_asked(server, "blockchain.transaction.get_merkle", 2)
            await eventually(lambda: _has_height(other, 14), "the watcher knows")
            slow.go_on.set()
            await slow.until(lambda: slow.proven_at(paid.txid) == 14)
            nursery.cancel_scope.cancel()
    assert slow.transcript[:2] == ["tip 10", "tip 14"]


def _has_height(watcher: PaymentWatcher, height: int) -> bool:
    return watcher.servers()[0].height == height


class Sulking(Heard):
    """A listener whose database is away when it is told the first things."""

    def __init__(self) -> None:
        super().__init__()
        self.troubles = iter(range(2))

    async def tip_moved(self, tip: Any, fork_height: int | None) -> None:
        self._sulk()
        await super().tip_moved(tip, fork_height)

    async def payment_seen(self, sighting: Any) -> None:
        self._sulk()
        await super().payment_seen(sighting)

    def _sulk(self) -> None:
        if next(self.troubles, None) is not None:
            raise DiskFull("no room for the database")


async def test_what_the_listener_could_not_store_is_told_again() -> None:
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)
    async with watching(server):
        sulking = Sulking()
        async with trio.open_nursery() as nursery:
            other = PaymentWatcher(
                DOICHAIN_REGTEST,
                ClockAt(),
                [server.url],
                longest_unseen=LONGEST_UNSEEN,
                scripts=[PAYEE],
                patience=BRISK,
            )
            await nursery.start(other.run, sulking)
            await sulking.until(lambda: sulking.proven_at(paid.txid) == 11)
            assert sulking.transcript[0].startswith("tip")
            nursery.cancel_scope.cancel()


async def test_a_bug_in_the_listener_is_not_swallowed() -> None:
    class Broken(Heard):
        async def tip_moved(self, tip: Any, fork_height: int | None) -> None:
            raise ZeroDivisionError

    server = ScriptedServer(ledger_of(3))
    async with watching(server):
        watcher = PaymentWatcher(DOICHAIN_REGTEST, ClockAt(), [server.url], longest_unseen=LONGEST_UNSEEN)
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            await watcher.run(Broken())


def test_what_cannot_be_a_server_is_refused() -> None:
    with pytest.raises(BadServerUrl):
        PaymentWatcher(DOICHAIN_REGTEST, ClockAt(), ["http://somewhere"], longest_unseen=LONGEST_UNSEEN)
    many = [f"tcp://somewhere:{port}" for port in range(1, MOST_SERVERS + 2)]
    with pytest.raises(ValueError, match="more than enough"):
        PaymentWatcher(DOICHAIN_REGTEST, ClockAt(), many, longest_unseen=LONGEST_UNSEEN)
