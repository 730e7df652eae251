"""`make demo`: the whole story of a pin on real peers, each step shown as it happens.

Alice and Bob are Helia peers in Node, the worker is the `pinning-worker` process, the chain is a Doichain regtest
behind a real ElectrumX. Nothing is told to the worker but by gossip, bitswap and Electrum, and nothing leaves this
machine. Ends everything it started; the exit code is 1 at the step that failed, and that step is named.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio

from pinning_worker.sandbox.electrumx import ElectrumXFailed
from pinning_worker.ungroup import one_error
from tests.interop.browser import join, make_art
from tests.interop.helia import Added, Helia, HeliaError, open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.slow_line import slow_line
from tests.interop.worker import WorkerError

NAME = "art/demo"
UPLOAD_BYTES_PER_SECOND = 400_000
STARTED = time.monotonic()
GONE_SECONDS = 3


class StepFailed(Exception):
    """The story did not go on. The text says at which step, and why."""


class Interrupted(Exception):
    """Somebody wants the story to end here."""


@contextmanager
def step(text: str) -> Iterator[None]:
    """One step of the story: shown when it begins, named when it fails."""
    show(text)
    try:
        yield
    except (HeliaError, WorkerError, ElectrumXFailed, AssertionError, trio.TooSlowError) as error:
        raise StepFailed(f"{text}\n{error}") from error


def show(text: str) -> None:
    print(f"{time.monotonic() - STARTED:5.1f} s  {text}", flush=True)


def show_result(text: str) -> None:
    print(f"         {text}", flush=True)


async def hear(peer: Helia, status: str, cid: str, detail: str) -> dict[str, Any]:
    """Waits for an answer about a CID and shows it; `detail` is a format over the message's fields."""
    message: dict[str, Any] = (await peer.heard(lambda m: m.says(status, cid))).json
    show_result(f"<- {status:<21}{detail.format(**message)}")
    return message


async def story(folder: Path) -> None:
    """The steps, in their order; the peers leave and the processes end when the stack unwinds."""
    async with AsyncExitStack() as stack:
        with step("A Doichain regtest starts, and a real ElectrumX that indexes it"):
            market = await stack.enter_async_context(open_market(folder))
            show_result(f"height {market.sandbox.node.height}, {market.sandbox.electrum_urls['ws']}")
        with step("The worker starts: pinning-worker run"):
            worker = await stack.enter_async_context(market.worker())
            show_result(worker.ws_addr)
        with step("Alice starts, a Helia peer in Node behind a slow line, and dials the worker by WebSocket"):
            alice = await stack.enter_async_context(open_helia(listen=()))
            addr = await stack.enter_async_context(slow_line(worker.ws_addr, UPLOAD_BYTES_PER_SECOND))
            await join(alice, worker, addr)
            show_result(alice.peer_id)
        with step("Alice adds an image and a metadata.json that names it, and asks"):
            art = await make_art(alice)
            show_result(f"-> NEW-CID:{art.cid}")
            await alice.publish(f"NEW-CID:{art.cid}")
        with step("The worker fetches both by bitswap"):
            await hear(alice, "FETCHING-CID", art.cid, "{blocks} blocks, {bytes} bytes so far")
        with step("The worker has measured them, and quotes"):
            sizes = "{sizes[metadata]} + {sizes[image]} = {sizes[total]}"
            fee = "{fee[amount]} swartz for {fee[durationMonths]} months"
            quote = await hear(alice, "ADDING-CID", art.cid, f"{sizes}: {fee}")
        pinned = await pay(market, alice, quote)
        with step("Alice leaves"):
            await alice.stop()
        with step("Bob starts, who never met Alice, and reads all of it from the worker"):
            bob = await stack.enter_async_context(open_helia(listen=()))
            await join(bob, worker, worker.tcp_addr)
            await read(bob, "metadata.json", art.metadata)
            await read(bob, "the image", art.image)
        await expire(market, bob, pinned, art.image)


async def pay(market: Market, alice: Helia, quote: dict[str, Any]) -> dict[str, Any]:
    """Pays the quote as the browser does, and mines until it counts. Returns the CID-PINNED-WITH-NAME message."""
    cid, seen = quote["cid"], "{confirmations} of {confirmationsNeeded} confirmations"
    with step("Alice pays: a name that points to the CID, and the fee, in one transaction"):
        txid = market.pay(quote, NAME)
        show_result(f"txid {txid}")
        await hear(alice, "PAYMENT-SEEN", cid, seen)
    with step(f"The payment is mined, and {CONFIRMATIONS - 1} blocks on top"):
        for _ in range(CONFIRMATIONS - 1):
            await market.mine()
            await hear(alice, "PAYMENT-SEEN", cid, seen)
        await market.mine()
    with step("The worker has proven it with its own headers: it pins, reads every block back, and says so"):
        await hear(alice, "ADDED-CID", cid, "every block is on disk and its hash is right")
        return await hear(alice, "CID-PINNED-WITH-NAME", cid, "{nameId} until {expirationDate}")


async def read(peer: Helia, what: str, file: Added) -> None:
    told = await peer.cat(file.cid)
    assert told.sha256 == file.sha256, f"{file.cid} came with other content"
    show_result(f"{what}: {told.bytes} bytes in {told.ms:.0f} ms, sha256 {told.sha256[:12]}… as Alice made it")


async def expire(market: Market, bob: Helia, pinned: dict[str, Any], image: Added) -> None:
    """Moves both clocks past the end; the worker lets the pin go, and its blocks."""
    days = pinned["remainingDays"] + 2
    with step(f"{days} days pass, on the worker's clock and on the chain's"):
        await market.move_time(days)
        async with market.time_flies():
            await hear(bob, "EXPIRED-CID", pinned["cid"], "{nameId}, which ended {expirationDate}")
    with step("Bob forgets his copy and asks again: the blocks are gone"):
        await bob.forget()
        try:
            await bob.cat(image.cid, deadline=GONE_SECONDS)
        except HeliaError:
            show_result("nobody has them")
        else:
            raise StepFailed("the worker still serves what has expired")


async def story_or_interrupt(folder: Path) -> None:
    """The story, given up at SIGINT or SIGTERM: whoever asks it to end gets everything ended."""
    with one_error(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                async for number in signals:
                    raise Interrupted(f"interrupted by {signal.Signals(number).name}")

            nursery.start_soon(give_up)
            await story(folder)
            nursery.cancel_scope.cancel()


def main() -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="pinning-worker-demo-") as folder:
            trio.run(story_or_interrupt, Path(folder))
    except StepFailed as failure:
        sys.exit(f"\nFAILED at: {failure}")
    except Interrupted as interruption:
        sys.exit(f"\n{interruption}")
    show("The story is told, and everything that was started has ended.")


if __name__ == "__main__":
    main()
