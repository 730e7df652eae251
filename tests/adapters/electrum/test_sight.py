"""Whether the chain is seen: what a watcher and `check-config --connect` make of servers of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from pinning_worker.adapters.electrum.endpoint import parse_server_url
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.probe import Probe, Prober, about_the_clock
from pinning_worker.adapters.electrum.sight import Sight
from pinning_worker.adapters.electrum.view import ChainView
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.domain.chain.headerchain import MOST_AHEAD_SECONDS
from pinning_worker.domain.chain.headers import HEADER_SIZE
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, DOICHAIN_TEST, PinnedBlock, with_checkpoint
from pinning_worker.domain.identities import Txid
from tests.adapters.electrum.listening import Heard, eventually
from tests.adapters.electrum.scripted import PAYEE, Ledger, Refusal, ScriptedServer, payment, serving
from tests.adapters.electrum.watching import BRISK, ClockAt, until_asked, watching

STEADY = replace(DOICHAIN_REGTEST, blocks_on_demand=False)  # a network whose blocks come by themselves, as mainnet's
NOBODY = "tcp://127.0.0.1:1"
HOUR = timedelta(hours=1)


def ledger_of(blocks: int, salt: int = 0) -> Ledger:
    ledger = Ledger(STEADY)
    ledger.mine(count=blocks, salt=salt)
    return ledger


def tip_time(ledger: Ledger) -> int:
    return ledger.blocks[-1].header.time


async def until_seen(watcher: PaymentWatcher, seen: bool = True) -> None:
    await eventually(lambda: watcher.sight.is_seen() is seen, f"the chain is seen: {seen}")


# --- a watcher


async def test_the_chain_is_seen_once_a_fresh_tip_is_verified() -> None:
    server = ScriptedServer(ledger_of(10), is_open=False)
    clock = ClockAt(tip_time(server.ledger) + 60)
    with capture_logs() as logs:
        async with watching(server, clock=clock) as (watcher, heard):
            told: list[object] = []
            watcher.sight.changed = told.append
            await eventually(lambda: watcher.servers()[0].fault != "", "a first try fails")
            assert not watcher.sight.is_seen()
            server.is_open = True
            await until_seen(watcher)
            assert heard.tip is not None
            assert told[-1] is None
    assert [log["tip"] for log in logs if log["event"] == "chain.seen"] == [10]


async def test_a_tip_that_is_old_is_not_fresh() -> None:
    """A server that is cut off from its peers goes on answering, with blocks of long ago."""
    server = ScriptedServer(ledger_of(10))
    clock = ClockAt(tip_time(server.ledger) + 3601)
    async with watching(server, clock=clock, longest_unseen=HOUR) as (watcher, heard):
        await heard.until(lambda: heard.tip is not None)
        assert not watcher.sight.is_seen()
        assert "its newest block 10 is 1.0 h old" in str(watcher.sight.reasons())
        clock.seconds -= 1
        await until_seen(watcher)
        clock.seconds = tip_time(server.ledger) - MOST_AHEAD_SECONDS - 1
        assert not watcher.sight.is_fresh(watcher._servers[0]), "a clock that was set back makes nothing fresh"


async def test_the_complaint_is_repeated_every_ten_minutes(autojump_clock: MockClock) -> None:
    """Catches: a log that says it once, three days ago; or at every look."""
    sight = Sight(ChainView(STEADY, ClockAt(), {}), [], HOUR)
    told: list[object] = []
    sight.changed = told.append
    with trio.move_on_after(1805):
        await sight.run()
    assert len(told) == 1 + 3
    assert None not in told


async def test_on_regtest_a_connected_server_is_enough() -> None:
    server = ScriptedServer(ledger_of(10))
    server.ledger.network = DOICHAIN_REGTEST
    async with watching(server, longest_unseen=HOUR) as (watcher, _):
        await until_seen(watcher)


async def test_one_fresh_server_is_enough() -> None:
    fresh, stale = ScriptedServer(ledger_of(10)), ScriptedServer(ledger_of(4))
    async with watching(stale, fresh, clock=ClockAt(tip_time(fresh.ledger) + 60), longest_unseen=HOUR) as (watcher, _):
        await until_seen(watcher)


def refuse(*_: object) -> object:
    raise Refusal("history too large")


@pytest.mark.parametrize("method", ["blockchain.scripthash.subscribe", "blockchain.scripthash.get_history"])
async def test_a_server_that_tells_of_no_payments_gives_no_sight(method: str) -> None:
    """Catches: selling on, with a fresh tip in sight and nobody who would tell of a payment."""
    server = ScriptedServer(ledger_of(10))
    server.ledger.mine(payment(1))
    server.answers[method] = refuse
    async with watching(server, clock=ClockAt(tip_time(server.ledger))) as (watcher, heard):
        await heard.until(lambda: heard.tip is not None)
        await until_asked(server, method, 2 if "subscribe" in method else 1)
        assert not watcher.sight.is_seen()
        del server.answers[method]
        server.ledger.mine(payment(2))
        server.hang_up()
        await until_seen(watcher)


async def test_a_server_that_never_gets_on_holds_up_nobody() -> None:
    """It shows a tip without end, our own blocks, and junk: its conversation went round in `follow` for ever, and what
    had left the mempool was never told."""
    shared = ledger_of(10)
    honest, liar = ScriptedServer(shared), ScriptedServer(shared)
    junk = bytes(HEADER_SIZE)
    liar.answers["blockchain.headers.subscribe"] = lambda: {"height": 2**31 - 1, "hex": junk.hex()}
    liar.answers["blockchain.block.headers"] = lambda first, _: {
        "count": 1,
        "hex": (shared.blocks[first].data if first < 2 else junk).hex(),
    }
    gone = Txid("ab" * 32)
    patience = replace(BRISK, courtesy_seconds=0.01)
    async with watching(honest, liar, patience=patience, remembered={gone: None}) as (_, heard):
        await heard.until(lambda: heard.gone == [gone])


async def test_a_rival_tip_that_is_not_ours_is_no_sight() -> None:
    """Catches: a server believed for the height and the time that it tells, though its chain has less work."""
    ours, rival = ScriptedServer(ledger_of(12)), ScriptedServer(ledger_of(6, salt=3), is_open=False)
    rival.ledger.blocks[-1:] = []
    clock = ClockAt(tip_time(ours.ledger) + 7200)
    async with watching(ours, rival, clock=clock, longest_unseen=HOUR) as (watcher, heard):
        await heard.until(lambda: heard.tip is not None)
        clock.seconds = tip_time(rival.ledger) + 60  # by this clock the rival's is fresh, and ours of the future
        ours.is_open = False
        ours.hang_up()
        rival.is_open = True
        await eventually(lambda: watcher.servers()[1].connected, "the rival is there")
        await eventually(lambda: watcher.servers()[1].height is not None, "the rival has shown its tip")
        assert not watcher.sight.is_fresh(watcher._servers[1])


async def test_the_chain_is_lost_from_sight_when_nobody_shows_it_any_more() -> None:
    server = ScriptedServer(ledger_of(10))
    clock = ClockAt(tip_time(server.ledger))
    with capture_logs() as logs:
        async with watching(server, clock=clock, longest_unseen=timedelta(seconds=0.2)) as (watcher, _):
            await until_seen(watcher)
            server.is_open = False
            server.hang_up()
            await until_seen(watcher, False)
            server.is_open = True
            await until_seen(watcher)
    events = [log for log in logs if log["event"].startswith("chain.")]
    assert [log["event"] for log in events] == ["chain.seen", "chain.not_seen", "chain.seen"]
    assert (events[1]["log_level"], events[1]["nothing_is_sold"]) == ("error", True)
    assert events[1]["server_1"].startswith(server.url)


async def test_a_header_of_the_future_waits_and_the_payment_before_it_counts() -> None:
    """The regtest header 50 years ahead: no liar, no term until 2077, and taken when its time has come."""
    server, paid = ScriptedServer(ledger_of(10)), payment(1)
    server.ledger.mine(paid)
    now = tip_time(server.ledger)
    clock, fifty_years = ClockAt(now), 50 * 365 * 86_400
    server.ledger.mine(ahead=fifty_years)
    server.ledger.mine()
    async with watching(server, clock=clock) as (watcher, heard):
        await heard.until(lambda: heard.proven_at(paid.txid) == 11)
        state = watcher.servers()[0]
        assert (state.connected, state.fault) == (True, "")
        assert heard.tip is not None
        assert heard.tip.height == 11
        assert state.waits_for.startswith("block 12 is dated 20")
        assert "far ahead of this machine's clock" in str(watcher.sight.reasons())
        clock.seconds = tip_time(server.ledger) - MOST_AHEAD_SECONDS
        await server.tell_tip()
        await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))
        assert watcher.servers()[0].waits_for == ""


# --- each server named for what it is


@asynccontextmanager
async def servers_of_every_kind() -> AsyncIterator[tuple[list[ScriptedServer], PinnedBlock]]:
    """In order, young, of the dead chain, of another network, at another checkpoint; the last is the split block."""
    living = ledger_of(20, salt=1)
    dead = living.copy()
    dead.rewind(5)
    dead.mine(count=30, salt=2)
    young = living.copy()
    young.rewind(9)
    aside = living.copy()
    aside.rewind(12)
    aside.mine(count=9, salt=4)
    servers = [ScriptedServer(ledger) for ledger in (living, young, dead, living, aside)]
    servers[3].answers["server.features"] = lambda: {"genesis_hash": DOICHAIN_TEST.genesis_hash}
    async with serving(*servers):
        yield servers, PinnedBlock(5, living.blocks[5].hash)


async def probed() -> list[Probe]:
    async with servers_of_every_kind() as (servers, split):
        living = servers[0].ledger
        checkpoint = PinnedBlock(15, living.blocks[15].hash)
        network = with_checkpoint(replace(STEADY, split_block=split), checkpoint)
        prober = Prober(network, ClockAt(tip_time(living) + 90), HOUR, Patience())
        urls = [*(server.url for server in servers), NOBODY]
        return await prober.probe_all([parse_server_url(url) for url in urls])


async def test_a_probe_names_each_server_for_what_it_is() -> None:
    good, young, dead, other, aside, nobody = await probed()
    assert (good.height, good.age, good.fault, good.mend) == (20, timedelta(seconds=90), "", "")
    assert good.round_trip is not None
    assert young.fault == "its chain ends at 8, below PINNING_CHECKPOINT at 15"
    assert "dead side of the split: its block 5 is " in dead.fault
    assert "older than doichain-core 31.1" in dead.mend
    assert other.fault == "it serves another network than doichain-regtest: doichain-test"
    assert "not at PINNING_CHECKPOINT: its block 15 is " in aside.fault
    assert "correct PINNING_CHECKPOINT" in aside.mend
    assert "cannot connect" in nobody.fault
    assert all(probe.mend for probe in (young, dead, other, aside, nobody))


async def test_a_watcher_names_each_server_for_what_it_is() -> None:
    """In the log and in systemd's status, with what to do; one good server is enough all the same."""
    async with servers_of_every_kind() as (servers, split):
        checkpoint = PinnedBlock(15, servers[0].ledger.blocks[15].hash)
        network = with_checkpoint(replace(STEADY, split_block=split), checkpoint)
        servers[0].is_open = False
        watcher = PaymentWatcher(
            network,
            ClockAt(tip_time(servers[0].ledger)),
            [*(server.url for server in servers), NOBODY],
            longest_unseen=HOUR,
            patience=BRISK,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.run, Heard())
            await eventually(lambda: all(state.fault for state in watcher.servers()), "all have been tried")
            assert not watcher.sight.is_seen()
            _, young, dead, other, aside, nobody = watcher.sight.reasons().servers
            assert "below PINNING_CHECKPOINT at 15 (if all servers say so" in young
            assert "dead side of the split" in dead
            assert "doichain-test (set PINNING_NETWORK" in other
            assert "not at PINNING_CHECKPOINT" in aside
            assert "cannot connect" in nobody
            servers[0].is_open = True
            await until_seen(watcher)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("age", [3601, -MOST_AHEAD_SECONDS - 60])
async def test_a_probe_says_when_a_tip_is_old_or_ahead_of_our_clock(age: int) -> None:
    server = ScriptedServer(ledger_of(3))
    async with serving(server):
        prober = Prober(STEADY, ClockAt(tip_time(server.ledger) + age), HOUR, Patience())
        (probe,) = await prober.probe_all([parse_server_url(server.url)])
    assert probe.fault == (
        "its newest block is 1.0 h old" if age > 0 else "its tip is 2.0 h ahead of this machine's clock"
    )
    assert probe.height == 3


async def test_a_probe_asks_for_the_histories_of_the_payment_scripts() -> None:
    server = ScriptedServer(ledger_of(3))
    server.answers["blockchain.scripthash.get_history"] = refuse
    async with serving(server):
        prober = Prober(STEADY, ClockAt(tip_time(server.ledger)), HOUR, Patience(), [PAYEE])
        (probe,) = await prober.probe_all([parse_server_url(server.url)])
    assert probe.fault == "it does not tell the history of a payment address: history too large (1)"


async def test_on_regtest_a_probe_asks_for_no_fresh_block() -> None:
    server = ScriptedServer(ledger_of(3))
    server.ledger.network = DOICHAIN_REGTEST
    async with serving(server):
        (probe,) = await Prober(DOICHAIN_REGTEST, ClockAt(), HOUR, Patience()).probe_all([parse_server_url(server.url)])
    assert probe.fault == ""


async def test_a_probe_of_a_silent_server_ends() -> None:
    server = ScriptedServer(ledger_of(3), is_silent=True)
    async with serving(server):
        prober = Prober(STEADY, ClockAt(), HOUR, Patience(connect_seconds=0.1, answer_seconds=0.1))
        (probe,) = await prober.probe_all([parse_server_url(server.url)])
    assert probe.fault != ""


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ([], ""),
        ([0, 9, 59], ""),
        ([-4], ""),
        (
            [-20, -21, 600],
            "this machine's clock is behind: the newest blocks were made 20 min after it (the middle of 3",
        ),
        ([90, 90, 91], "the newest blocks are 1.5 h old by this machine's clock (the middle of 3 servers)"),
        ([5, 6, 6000], ""),  # one that is cut off says nothing about our clock
    ],
)
def test_the_clock_is_compared_with_the_chains(minutes: list[int], said: str) -> None:
    probes = [Probe(NOBODY, 1, timedelta(minutes=each)) for each in minutes] + [Probe(NOBODY, fault="away")]
    told = about_the_clock(probes)
    assert told.startswith(said)
    assert bool(told) is bool(said)
