"""Ten thousand payments of a swartz at our address, servers with ElectrumX's limits, and one customer who pays.

The customer's payment is told before the pile is read, however large; and no server hangs up on us. Times are printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import trio

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.adapters.electrum.sightings import Sightings
from pinning_worker.domain.chain.transaction import Transaction
from pinning_worker.domain.identities import Txid
from tests.adapters.electrum.listening import Heard
from tests.adapters.electrum.metered import HARD, Crowded, Metered, dust
from tests.adapters.electrum.scripted import Refusal, ScriptedServer, payment
from tests.adapters.electrum.watching import BRISK, until_asked, watching

pytestmark = pytest.mark.slow

PILE = 10_000
REAL = payment(50_000, amount=7_004_482)
# As an operator's servers are: nothing but the first connection is made faster.
USUAL = replace(BRISK, put_off_seconds=1.0)


def mined(pile: list[Transaction]) -> Crowded:
    ledger = Crowded()
    for at in range(0, len(pile), 100):
        ledger.mine(*pile[at : at + 100])
    return ledger


def unmined(pile: list[Transaction]) -> Crowded:
    ledger = Crowded()
    ledger.mine(count=20)
    ledger.mempool += pile
    return ledger


async def timed(what: str, heard: Heard, happened: Callable[[], bool]) -> None:
    began = trio.current_time()
    await heard.until(happened)
    print(f"{what}: {trio.current_time() - began:.2f} s, {len(heard.sightings)} sightings told by then")


@pytest.mark.parametrize("pile", [mined, unmined])
async def test_a_payment_is_seen_and_proven_before_the_pile_is_read(
    pile: Callable[[list[Transaction]], Crowded],
) -> None:
    ledger = pile(dust(PILE))
    servers = [Metered(ledger, websocket=True) for _ in range(2)]
    async with watching(*servers, patience=USUAL) as (watcher, heard):
        await timed("at the start, something", heard, lambda: len(heard.sightings) > 300)
        ledger.mempool.append(REAL)
        for server in servers:
            await server.tell_script()
        await timed("the payment seen", heard, lambda: heard.is_unproven(REAL.txid))
        ledger.mine(*ledger.mempool[:500], REAL)
        for server in servers:
            await server.tell_all()
        await timed("the payment proven", heard, lambda: heard.proven_at(REAL.txid) == ledger.height)
        assert len(heard.sightings) < PILE / 2, "the pile was read first"
        for server in servers:
            asked = {method.rpartition(".")[2]: count for method, count in server.asked.items()}
            print(f"cost {server.most_cost:.0f} of {HARD:.0f} at its highest, {asked}")
            assert (server.hung_up, asked["get_history"]) <= (0, 4)
        assert [state.fault for state in watcher.servers()] == ["", ""]


async def test_two_servers_share_the_pile() -> None:
    """Each transaction is asked for once, but for the first ones."""
    ledger = mined(dust(700))
    servers = [Metered(ledger, websocket=True) for _ in range(2)]
    async with watching(*servers, patience=USUAL) as (_, heard):
        await timed("all of 700", heard, lambda: len(heard.sightings) == 700)
        asked = [server.asked["blockchain.transaction.get"] for server in servers]
        print(f"asked of each: {asked}")
        assert sum(asked) < 800
        assert min(asked) > 100


async def test_who_left_all_to_the_other_does_not_call_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: two servers' sessions that ring each other out of the pile before either has read a piece of it. Each
    look goes through all rows."""
    ledger, looks = mined(dust(2_000)), Counter[str]()
    servers, shown = [ScriptedServer(ledger) for _ in range(2)], Sightings.shown

    def counted(sightings: Sightings, server: str) -> Iterator[list[HistoryRow]]:
        looks[server] += 1
        return shown(sightings, server)

    monkeypatch.setattr(Sightings, "shown", counted)
    async with watching(*servers, patience=USUAL) as (_, heard):
        await heard.until(lambda: len(heard.sightings) == 2_000)
    print(f"{looks} looks")
    assert max(looks.values()) < 50


async def test_what_is_refused_is_not_asked_for_at_each_look() -> None:
    """A history that lists what its server does not give: each refusal costs as much as a hundred answers."""
    server, lost = Metered(unmined([]), websocket=True), dust(200)
    history = server._blockchain_scripthash_get_history

    def with_lost(hash_: str) -> list[dict[str, object]]:
        return [*history(hash_), *({"tx_hash": each.txid, "height": 0} for each in lost)]

    server.answers["blockchain.scripthash.get_history"] = with_lost
    async with watching(server, patience=USUAL) as (watcher, heard):
        await until_asked(server, "blockchain.transaction.get")
        for height in range(5):
            server.ledger.mine(payment(height + 1_000))
            await server.tell_all()
            await heard.until(lambda: heard.proven_at(payment(height + 1_000).txid) == server.ledger.height)  # noqa: B023  # awaited within the loop
        print(f"cost {server.most_cost:.0f} of {HARD:.0f}, {server.asked['blockchain.transaction.get']} asked")
        assert server.hung_up == 0
        assert server.asked["blockchain.transaction.get"] <= 80
        assert watcher.servers()[0].fault == ""


def test_a_refusal_is_a_refusal() -> None:
    with pytest.raises(Refusal):
        Crowded().find(Txid("00" * 32))
