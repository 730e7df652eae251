"""The whole life of a paid pin, and the awkward ways it can go."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.pin import State
from pinning_worker.domain.topic.messages import AddedCid, ExpiredCid, Message
from tests import content
from tests.stories.world import World, terms


async def test_a_whole_paid_life(autojump_clock: MockClock) -> None:
    metadata, _, blocks = content.nft(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)

        await w.say(f"NEW-CID:{metadata}")
        [adding] = w.hear()
        assert adding["status"] == "ADDING-CID"
        assert adding["cid"] == str(metadata)
        assert adding["bytes"]["total"] == sum(len(block) for block in blocks.values())
        assert adding["bytes"]["metadata"] == len(blocks[metadata.multihash])
        assert adding["fee"] == {"amount": 1_699_521, "durationMonths": 8, "paymentAddress": w.terms.payment_address}

        w.fetcher.peers.clear()  # the browser has left
        txid = await w.pay(metadata, 1_699_521)
        [seen] = w.hear()
        assert (seen["status"], seen["confirmations"], seen["confirmationsNeeded"]) == ("PAYMENT-SEEN", 0, 3)
        await w.mine()
        assert [m["confirmations"] for m in w.hear()] == [1]
        await w.mine()
        assert [m["confirmations"] for m in w.hear()] == [2]
        await w.mine()
        added, pinned = w.hear()
        assert list(added) == ["status", "cid", "receipt"]
        assert (added["status"], added["cid"]) == ("ADDED-CID", str(metadata))
        assert (pinned["status"], pinned["nameId"], pinned["remainingDays"]) == ("CID-PINNED-WITH-NAME", "art/1", 242)
        assert pinned["expirationDate"] == "2027-07-20T12:00:01.000Z"
        assert pinned["renewal"]["amount"] == 1_699_521
        assert [r.txid for r in await w.receipts.all()] == [txid]

        await w.months_later(242)
        assert [(m["status"], m["remainingDays"]) for m in w.hear()] == [
            ("EXPIRING-CID", 30),
            ("EXPIRING-CID", 7),
            ("EXPIRING-CID", 1),
        ]
        assert await w.blocks_on_disk() == set(blocks)
        await w.months_later(2)
        assert w.hear_statuses() == ["EXPIRED-CID"]
        assert (await w.pin(metadata)).state is State.RELEASED
        await w.later(hours=30)  # the last reminder's renewal quote holds the blocks until it lapses
        assert await w.blocks_on_disk() == set()


@pytest.mark.parametrize(
    ("days_before", "reminders"),
    [
        (0, [7, 1]),  # 20 November to 20 December: 30 days, and a moment less when it is pinned
        (73, [7, 1]),  # 1 February to 1 March
        (11, [30, 7, 1]),  # 1 December to 1 January
    ],
)
async def test_a_month_is_not_reminded_of_an_end_that_it_was_just_told(
    autojump_clock: MockClock, days_before: int, reminders: list[int]
) -> None:
    """Catches: "ends in 30 days" right after "pinned" for a month of 28 or 30."""
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        await w.later(days=days_before)
        w.offer(blocks)
        await w.say(f'{{"type":"NEW-CID","cid":"{cid}","durationMonths":1}}')
        await w.pay(cid, w.hear()[-1]["fee"]["amount"])
        await w.mine(3)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
        await w.months_later(32)
        *reminded, expired = w.hear()
        assert [(m["status"], m["remainingDays"]) for m in reminded] == [("EXPIRING-CID", days) for days in reminders]
        assert expired["status"] == "EXPIRED-CID"


async def test_a_renewal_at_the_last_moment_is_not_reminded_at_once(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.later(days=42)  # 1 January
        for days in (30, 0):
            await w.say(f'{{"type":"NEW-CID","cid":"{cid}","durationMonths":1}}')
            await w.pay(cid, w.hear()[-1]["fee"]["amount"])
            await w.mine(3)
            assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
            await w.months_later(days)
            w.hear()
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_repeated_new_cid_repeats_the_standing_answer_once_in_two_seconds(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"hello")
    async with World().running() as w:
        w.offer(blocks)
        for _ in range(5):
            await w.say(f"NEW-CID:{cid}")
        assert w.hear_statuses() == ["ADDING-CID"]
        await w.later(seconds=2.1)
        assert w.hear_statuses() == ["ADDING-CID"]
        await w.later(seconds=10)
        assert w.hear_statuses() == []
        assert len(w.fetcher.fetches) == 1


async def test_a_clock_that_is_set_back_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"summer time")
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        w.clock.moved = timedelta(hours=-1)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear_statuses() == ["ADDING-CID"]


async def test_the_image_asked_before_its_metadata_and_everything_twice(autojump_clock: MockClock) -> None:
    metadata, image, blocks = content.nft(b"picture" * 100)
    async with World().running() as w:
        w.offer(blocks)
        for cid in (image, image, metadata, metadata):
            await w.say(f"NEW-CID:{cid}")
        answers = {m["cid"]: m for m in w.hear()}
        assert set(answers) == {str(image), str(metadata)}
        assert answers[str(metadata)]["bytes"]["image"] == 700


async def test_v0_and_v1_of_one_block_are_one_request_and_each_is_answered_as_it_was_asked(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(content.noise(600_000))
    v0 = type(cid)(0, cid.codec, cid.multihash)
    async with World().running() as w:
        w.fetcher.seconds_per_block = 1
        w.offer(blocks)
        await w.say(f"NEW-CID:{v0}")
        await w.say(f'{{"type":"NEW-CID","cid":"{cid}","id":"r1"}}')
        await w.later(seconds=20)
        said = w.hear()
        assert {(m["cid"], m.get("id")) for m in said} == {(str(v0), None), (str(cid), "r1")}
        assert [m["status"] for m in said if m["status"] != "FETCHING-CID"] == ["ADDING-CID", "ADDING-CID"]
        assert len(w.fetcher.fetches) == 1


async def test_an_unpaid_quote_lapses_and_its_blocks_go(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"never paid")
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.pass_time(hours=23.9)
        assert await w.blocks_on_disk() == set(blocks)
        await w.pass_time(hours=0.2)
        assert await w.blocks_on_disk() == set()
        assert w.hear() == []


async def test_a_payment_in_the_mempool_keeps_a_lapsed_quote_for_a_day(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"slow miner")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.later(hours=23)
        await w.pay(cid, amount)
        await w.later(hours=24)
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(3)
        assert "ADDED-CID" in w.hear_statuses()


async def test_a_payment_in_a_block_keeps_a_lapsed_quote_until_it_is_deep_enough(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"slow blocks")
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))
        await w.mine()
        w.fetcher.peers.clear()
        await w.later(days=3)
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(2)
        assert (await w.pin(cid)).state is State.PINNED


@pytest.mark.parametrize(("mined", "stuck"), [("a", "b"), ("b", "a")])
async def test_of_two_payments_on_their_way_the_one_that_takes_longer_holds_the_blocks(
    mined: str, stuck: str, autojump_clock: MockClock
) -> None:
    """One is in a block, not deep enough yet; the other, under another name, never leaves the mempool."""
    cid, blocks = content.file(b"two on their way")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pay(cid, amount, mined)
        await w.mine()
        await w.pay(cid, amount, stuck)
        w.fetcher.peers.clear()
        await w.later(days=3)
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(2)
        assert (await w.pin(cid, mined)).state is State.PINNED


async def test_a_payment_in_the_mempool_is_waited_for_by_the_last_quote(autojump_clock: MockClock) -> None:
    """It may have been made for the one that was given last: 24 hours more than that one stood."""
    cid, blocks = content.file(b"two quotes")
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.pass_time(hours=20)
        await w.say(f'{{"type":"NEW-CID","cid":"{cid}","durationMonths":1}}')
        await w.pay(cid, w.hear()[-1]["fee"]["amount"])
        await w.pass_time(hours=47)
        assert await w.blocks_on_disk() == set(blocks)
        await w.pass_time(hours=2)
        assert await w.blocks_on_disk() == set()


async def test_a_payment_that_never_leaves_the_mempool_does_not_hold_blocks_for_ever(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"stuck")
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))
        await w.pass_time(hours=49)
        assert await w.blocks_on_disk() == set()


async def test_late_payment_is_honoured_at_the_stored_price_while_the_content_can_be_had(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(content.noise(3_000_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pass_time(hours=30)
        assert await w.blocks_on_disk() == set()
        await w.set_prices(1_000_000, 1_000_000)  # dearer since
        await w.pay(cid, amount)
        await w.mine(3)
        await w.later(minutes=2)
        assert [s for s in w.hear_statuses() if s != "PAYMENT-SEEN"] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_paid_but_the_content_is_gone_is_owed_until_it_can_be_had(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"gone")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pass_time(hours=30)
        w.fetcher.peers.clear()
        w.blocks.freed.clear()
        await w.pay(cid, amount)
        await w.mine(3)
        await w.later(minutes=5)
        owed = await w.pin(cid)
        assert (owed.state, owed.reason) == (State.OWED, "paid, but the content is not here")
        assert "ADDED-CID" not in w.hear_statuses()
        w.offer(blocks, "another peer")
        await w.pass_time(hours=1)
        assert w.hear_statuses() == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_paid_but_never_quoted_is_fetched_quoted_and_pinned(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(cid, 3_000_000)  # covers two months at this price
        await w.mine(3)
        await w.later(minutes=1)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
        pin = await w.pin(cid)
        assert pin.starts is not None
        assert pin.ends == pin.starts.replace(year=2027, month=1)


async def test_paid_too_little_for_what_was_never_quoted_is_short_once_it_is_quoted(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        await w.pay(cid, 1_100_000)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.OWED
        w.offer(blocks)
        await w.later(hours=1)
        assert [m["missingForOneMonth"] for m in w.hear() if m["status"] == "PAYMENT-SHORT"] == [315_516]
        assert (await w.pin(cid)).state is State.SHORT


async def test_paid_but_never_quoted_and_nowhere_to_be_had_is_listed_as_owed(autojump_clock: MockClock) -> None:
    cid, _ = content.file(b"nobody has it")
    async with World().running() as w:
        await w.pay(cid, 3_000_000)
        await w.mine(3)
        await w.later(hours=12)
        assert (await w.pin(cid)).state is State.OWED
        assert [m["status"] for m in w.hear() if m["status"] != "ERROR"] == []


async def test_short_then_the_rest(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pay(cid, 1_000_000)
        await w.mine(3)
        short = w.hear()[-1]
        assert (short["status"], short["missing"], short["received"]) == (
            "PAYMENT-SHORT",
            amount - 1_000_000,
            1_000_000,
        )
        assert short["missingForOneMonth"] == 415_516
        await w.mine(5)
        assert w.hear() == []  # said once
        await w.pay(cid, short["missing"])
        await w.mine(3)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
        pin = await w.pin(cid)
        assert pin.starts is not None
        assert pin.ends == add_months(pin.starts, 8)


async def test_all_outputs_to_us_are_summed(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"two outputs")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pay(cid, amount - 1, also=1)
        await w.mine(3)
        assert w.hear_statuses()[-1] == "CID-PINNED-WITH-NAME"


async def test_the_surplus_is_credit_for_the_next_payment(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pay(cid, amount + 400_000)
        await w.mine(3)
        first = await w.pin(cid)
        await w.pay(cid, amount - 400_000)
        await w.mine(3)
        second = await w.pin(cid)
        assert first.ends is not None
        assert second.ends == first.ends.replace(year=2028, month=3)


async def test_a_quote_that_is_over_holds_nothing_when_the_end_is_said(autojump_clock: MockClock) -> None:
    """Both ended while the worker was away. Catches: "expired" is said, and whoever asks is served still, because the
    quote's lapse is the next thing to do."""
    cid, blocks = content.file(b"over")
    world = World(terms=terms(steps_at_once=1))
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(241)
        await w.quoted(cid)  # renewal, not paid: stands until after the pin's end
    world.clock.moved = timedelta(days=10)
    await world.chain.mine(11)
    left: list[set[bytes]] = []

    async def told(message: Message) -> None:
        if isinstance(message, ExpiredCid):
            left.append(await world.blocks_on_disk())

    world.announcer.telling = told
    async with world.running() as w:
        await w.later(minutes=10)  # at first the chain may not have been read: the pin may have been renewed
        assert w.hear_statuses() == ["EXPIRED-CID"]
        assert left == [set()]


async def test_two_names_of_one_cid_are_two_pins_and_the_blocks_stay_for_the_longer(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"shared")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        await w.months_later(30)
        await w.pinned(cid, "b")
        await w.months_later(213)
        assert w.hear_statuses()[-1] == "EXPIRED-CID"
        await w.later(hours=48)
        assert await w.blocks_on_disk() == set(blocks)
        await w.months_later(40)
        assert await w.blocks_on_disk() == set()


async def test_expiry_frees_exactly_the_blocks_that_no_other_pin_holds(autojump_clock: MockClock) -> None:
    picture = content.noise(500_000)
    first, _, first_blocks = content.nft(picture, "first")
    second, _, second_blocks = content.nft(picture, "second")
    async with World().running() as w:
        w.offer(first_blocks | second_blocks)
        await w.pinned(first, "a")
        await w.months_later(30)
        await w.pinned(second, "b")
        await w.months_later(216)
        assert await w.blocks_on_disk() == set(second_blocks)


async def test_new_cid_for_a_pinned_cid_or_its_image_answers_each_name_and_the_renewal_quote(
    autojump_clock: MockClock,
) -> None:
    metadata, image, blocks = content.nft(b"picture" * 1000)
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(metadata, "a")
        await w.later(days=3)
        await w.pinned(metadata, "b")
        for cid in (metadata, image):
            await w.later(seconds=3)
            await w.say(f"NEW-CID:{cid}")
            a, b, adding = w.hear()
            assert [(m["status"], m["nameId"], m["cid"]) for m in (a, b)] == [
                ("CID-PINNED-WITH-NAME", "b", str(cid)),
                ("CID-PINNED-WITH-NAME", "a", str(cid)),
            ]
            assert (adding["status"], adding["quote"]["id"]) == ("ADDING-CID", a["renewal"]["quoteId"])


async def test_a_renewal_extends_from_the_end_and_is_announced(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"again")
    async with World().running() as w:
        w.offer(blocks)
        first = await w.pinned(cid)
        before, (receipt,) = await w.pin(cid), await w.receipts.all()
        await w.months_later(100)
        await w.say(f"NEW-CID:{cid}")
        renewal = w.hear()[0]["renewal"]
        await w.pay(cid, renewal["amount"])
        await w.mine(3)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
        after = await w.pin(cid)
        assert (after.starts, after.state) == (before.starts, State.PINNED)
        assert before.ends is not None
        assert after.ends == before.ends.replace(year=2028, month=3)
        renewed = {record.txid: record for record in await w.receipts.all()}[first]
        assert (renewed.pinned_at, renewed.ends) == (receipt.pinned_at, after.ends)


async def test_a_reorg_takes_a_payment_back_and_the_pin_stays_on_credit_until_it_is_proven_again(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(b"reorg")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.chain.reorg(3)
        await w.settle()
        assert (await w.pin(cid)).state is State.CREDIT
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_double_spent_payment_ends_the_credit_and_the_blocks_go(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"double spend")
    async with World().running() as w:
        w.offer(blocks)
        txid = await w.pinned(cid)
        await w.later(days=2)  # its quote has lapsed: only the pin holds it
        await w.chain.reorg(3, drop=[txid])
        await w.settle()
        await w.mine(19)
        assert (await w.pin(cid)).state is State.CREDIT
        await w.mine(2)
        assert (await w.pin(cid)).state is State.SUSPENDED
        await w.later(days=2)
        assert await w.blocks_on_disk() == set()


async def test_a_reorg_while_the_worker_was_down_is_noticed_at_the_start(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"down")
    w = World()
    async with w.running():
        w.offer(blocks)
        await w.pinned(cid)
    await w.chain.reorg(3)
    async with w.running():
        assert (await w.pin(cid)).state is State.CREDIT
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_payment_that_vanishes_from_the_mempool_promised_nothing(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"vanishes")
    async with World().running() as w:
        w.offer(blocks)
        txid = await w.pay(cid, await w.quoted(cid))
        await w.chain.evict(txid)
        await w.settle()
        assert (await w.pin(cid)).state is State.VANISHED
        await w.pay(cid, 1_000_000)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_payment_made_while_the_worker_was_down(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"down again")
    w = World()
    async with w.running():
        w.offer(blocks)
        amount = await w.quoted(cid)
    await w.pay(cid, amount)
    await w.mine(3)
    async with w.running():
        assert w.hear_statuses() == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_clocks_that_disagree_free_nothing(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"our clock jumped")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.later(days=250)  # the term is 242 days, and no block came in all that time
        assert (await w.pin(cid)).state is State.EXPIRING
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(12)  # each block is a moment to look again: nobody waits for the next look at the clocks
        assert (await w.pin(cid)).state is State.RELEASED


async def test_five_headers_from_the_future_end_nothing_and_six_of_eleven_do(autojump_clock: MockClock) -> None:
    """The second clock is the median of eleven headers: one miner's header, dated ahead, is not enough."""
    cid, blocks = content.file(b"headers from the future")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.mine(12)
        await w.later(days=250)
        await w.mine(5)
        assert (await w.pin(cid)).state is State.EXPIRING
        await w.mine(1)
        assert (await w.pin(cid)).state is State.RELEASED


async def test_a_power_cut_in_the_moment_of_added_cid_takes_no_block(autojump_clock: MockClock) -> None:
    """What is said to be pinned is synced by then: a disk may forget all else."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))

        async def cut_the_power(message: Message) -> None:
            if isinstance(message, AddedCid):
                w.blocks.power_cut()

        w.announcer.telling = cut_the_power
        await w.mine(3)
        assert "ADDED-CID" in w.hear_statuses()
        assert await w.blocks_on_disk() == set(blocks)


async def test_a_block_broken_on_disk_is_found_by_the_audit_and_fetched_again(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))
        await w.mine(2)
        w.hear()
        broken = next(iter(blocks))
        w.lose(broken, rot=True)
        await w.mine(1)
        assert w.hear_statuses() == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
        assert await w.blocks.get(broken) == blocks[broken]


async def test_who_asks_for_what_another_name_lost_on_disk_is_a_place_in_the_queue_and_an_answer(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(b"two names, one rotten block")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        w.lose(cid.multihash)
        w.fetcher.peers.clear()
        await w.pay(cid, 1_000_000, "b")
        await w.mine(3)  # the audit for b finds it
        await w.later(hours=3)
        assert (await w.pin(cid, "a")).state is State.OWED
        assert (await w.pin(cid, "b")).state is State.OWED
        w.hear()
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert "ADDING-CID" in w.hear_statuses()
        assert (await w.pin(cid, "a")).state is State.PINNED
        assert (await w.pin(cid, "b")).state is State.PINNED


async def test_money_that_names_no_cid_is_kept_in_the_ledger(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        await w.pay("not-a-cid", 5_000_000)
        await w.mine(3)
        [payment] = await w.books.all_payments()
        assert (payment.root, payment.amount.amount) == (b"", 5_000_000)
        assert w.hear() == []


async def test_a_stranger_who_writes_the_same_name_changes_no_paid_pin(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"mine")
    other, other_blocks = content.file(b"theirs")
    async with World().running() as w:
        w.offer(blocks | other_blocks)
        await w.pinned(cid, "art/1")
        before = await w.pin(cid, "art/1")
        await w.pinned(other, "art/1")
        assert await w.pin(cid, "art/1") == before


async def test_the_paying_quote_survives_a_price_change(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.set_prices(1_000_000, 1_000_000)
        await w.pay(cid, amount)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_everything_is_still_and_nothing_spins_when_there_is_nothing_to_do(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        before = trio.current_time()
        await w.later(days=30)
        assert trio.current_time() - before == pytest.approx(30 * 86_400)


async def test_a_new_payment_for_a_pin_that_ended_holds_the_blocks_until_it_counts(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"once more")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(244)
        assert (await w.pin(cid)).state is State.RELEASED
        amount = await w.quoted(cid)
        await w.later(hours=23)
        await w.pay(cid, amount)
        w.fetcher.peers.clear()
        await w.later(hours=20)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_whoever_pays_again_for_what_was_suspended_is_served(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"double spend, then honest")
    async with World().running() as w:
        w.offer(blocks)
        txid = await w.pinned(cid)
        await w.chain.reorg(3, drop=[txid])
        await w.settle()
        await w.mine(21)
        assert (await w.pin(cid)).state is State.SUSPENDED
        await w.pay(cid, 1_000_000)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_suspended_pins_record_says_that_it_was_let_go(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"the record of a double spend")
    async with World().running() as w:
        w.offer(blocks)
        await w.chain.reorg(3, drop=[await w.pinned(cid)])
        await w.settle()
        await w.mine(21)
        assert (await w.pin(cid)).state is State.SUSPENDED
        [receipt] = await w.receipts.all()
        assert receipt.released_at is not None


async def test_killed_between_the_news_of_a_double_spend_and_its_judgement(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"reorg and kill")
    w = World()
    async with w.running():
        w.offer(blocks)
        txid = await w.pinned(cid)
    w.chain.listener = w.new_life()  # hears, and dies before it acts
    await w.chain.reorg(3, drop=[txid])
    async with w.running():
        assert (await w.pin(cid)).state is State.CREDIT


async def test_killed_between_a_new_proof_and_its_judgement(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"another block and kill")
    w = World()
    async with w.running():
        w.offer(blocks)
        await w.pinned(cid)
        before = await w.pin(cid)
    w.chain.listener = w.new_life()  # hears, and dies before it acts
    await w.chain.reorg(3)
    await w.chain.mine(3)
    async with w.running():
        after = await w.pin(cid)
        assert after.state is State.PINNED
        assert after.starts != before.starts


async def test_a_pinned_metadata_and_its_image_are_offered_by_one_quote(autojump_clock: MockClock) -> None:
    """Catches: ADDING-CID with the image's own price, less than the renewal that was just offered for the same name:
    a payer of it is SHORT by what the metadata's own bytes cost."""
    metadata, image, blocks = content.nft(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        own_price = await w.quoted(image)  # browsers ask for the image first
        await w.pinned(metadata)
        await w.later(seconds=3)
        await w.say(f"NEW-CID:{image}")
        pinned, adding = w.hear()
        assert (pinned["status"], adding["status"]) == ("CID-PINNED-WITH-NAME", "ADDING-CID")
        assert adding["quote"]["id"] == pinned["renewal"]["quoteId"]
        assert adding["fee"]["amount"] == pinned["renewal"]["amount"] > own_price
        await w.pay(metadata, adding["fee"]["amount"])
        await w.mine(3)
        assert "PAYMENT-SHORT" not in w.hear_statuses()


async def test_an_image_pinned_by_itself_keeps_its_own_quote(autojump_clock: MockClock) -> None:
    """Catches: the price of a stranger's collection, for whoever renews one picture that it names."""
    metadata, image, blocks = content.nft(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        own_price = await w.quoted(image)
        await w.pay(image, own_price, "mine")
        await w.mine(3)
        w.hear()
        await w.later(days=3)
        await w.pinned(metadata, "theirs")  # ends later, so it is told first
        await w.later(seconds=3)
        await w.say(f"NEW-CID:{image}")
        theirs, mine, adding = w.hear()
        assert (theirs["nameId"], mine["nameId"]) == ("theirs", "mine")
        assert adding["quote"]["id"] == mine["renewal"]["quoteId"]
        assert adding["fee"]["amount"] == own_price


async def test_whoever_pays_for_an_image_of_two_metadata_is_short_for_neither(autojump_clock: MockClock) -> None:
    image = content.noise(2_000_000)
    (small, image_cid, blocks), (large, _, more) = content.nft(image), content.nft(image, description="…" * 5_000)
    async with World().running() as w:
        w.offer(blocks | more)
        await w.quoted(image_cid)
        await w.pinned(large, "large")
        await w.later(days=3)
        await w.pinned(small, "small")
        await w.later(seconds=3)
        await w.say(f"NEW-CID:{image_cid}")
        *pinned, adding = w.hear()
        assert [m["nameId"] for m in pinned] == ["small", "large"]
        assert adding["fee"]["amount"] == max(m["renewal"]["amount"] for m in pinned)
        await w.pay(image_cid, adding["fee"]["amount"], "new")
        await w.mine(3)
        assert "PAYMENT-SHORT" not in w.hear_statuses()
