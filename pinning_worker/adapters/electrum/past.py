"""The names of the past: blocks below a known one, from all servers at once, in the time that nothing else needs.

    header       our own chain, as far as it goes down; below it from a server, cut to 80 bytes, linked by hash to a
                 block that we know. So the past is proven by hash alone: the anchor commits to it
    NameOps      as of a new block (`nameops.py`), for some blocks in one batch
    in order     servers read different pieces and finish in any order; whole blocks are handed on from the top down

Four things keep it out of the way. A server is asked once all payments that it shows are read; while the cost that it
has counted for us is so low that it answers everything at once (`Pace.wait_for_spare`); in pieces of a few seconds; and
after a slow piece not for ten times as long, for then others keep it busy.

Any fault is tried again, by the same server or another: a refusal ever later (it costs as much as a hundred requests),
and so is a lie. What a server says about the past decides nothing about payments: it stays connected, so that neither a
damaged server nor a bug of ours with some old block makes the worker blind. A server that dawdles is overtaken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
import trio

from pinning_worker.adapters.electrum.faults import ElectrumTrouble, LinkLost
from pinning_worker.adapters.electrum.past_window import PastWindow
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.server import Server
from pinning_worker.adapters.electrum.session import Session
from pinning_worker.adapters.electrum.view import ChainView, header_time
from pinning_worker.domain.chain.ancestors import FIRST_BLOCK
from pinning_worker.ports.chain import BlockOfNames

HEADERS_AT_ONCE = 250
FEWEST_BLOCKS, FIRST_BLOCKS, MOST_BLOCKS = 5, 20, 100  # in one piece
SLOW_PIECE_SECONDS, QUICK_PIECE_SECONDS = 6.0, 3.0  # on tcp a piece takes two or three, however small it is
REST_TIMES, LONGEST_REST_SECONDS = 10, 600.0  # after a slow piece
LOOK_EVERY_SECONDS = 1.0  # without news: a session that came, a budget that refilled

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Reading:
    """One server's share of the work: how many blocks it is asked for at once, and what went wrong."""

    server: Server
    patience: Patience
    blocks: int = FIRST_BLOCKS
    refusals: int = 0  # in a row
    told: str = ""
    waited_seconds: float = 0.0  # for spare cost, within the piece under way

    async def wait_for_spare(self) -> None:
        began = trio.current_time()
        await self.server.pace.wait_for_spare()
        self.waited_seconds += trio.current_time() - began

    def rest_after(self, seconds: float) -> float:
        """Seconds without a question after a piece that took so long. Keeps pieces short, so that a payment or a new
        block waits for little, and leaves a server alone that others keep busy: it counts the cost of a whole address
        range, and would hang up on all of us."""
        answering, self.waited_seconds = seconds - self.waited_seconds, 0.0
        self.refusals, self.told = 0, ""
        if answering > SLOW_PIECE_SECONDS:
            self.blocks = max(FEWEST_BLOCKS, self.blocks // 2)
            return min(REST_TIMES * answering, LONGEST_REST_SECONDS)
        if answering < QUICK_PIECE_SECONDS:
            self.blocks = min(MOST_BLOCKS, self.blocks * 2)
        return 0.0

    def pause_after(self, fault: ElectrumTrouble) -> float:
        """Seconds until it is asked again."""
        if str(fault) != self.told:
            self.told = str(fault)
            _log.info("electrum.past_put_off", server=self.server.name, why=self.told)
        if isinstance(fault, LinkLost):
            return LOOK_EVERY_SECONDS  # the server is visited again in its own time
        self.refusals += 1
        return self.patience.refused_again_after(self.refusals)


class PastReader:
    """`below` asks, `run` works. Nobody else is asked for more than that."""

    def __init__(self, view: ChainView, servers: Sequence[Server], patience: Patience) -> None:
        self._view, self._servers, self._patience = view, servers, patience
        self._window: PastWindow | None = None
        self._linking = trio.Lock()
        self._called, self._news = trio.Event(), trio.Event()

    async def below(self, height: int, block_hash: str) -> list[BlockOfNames]:
        """The blocks just below that one, the highest first, as soon as there is one. Waits as long as it takes; an
        empty list once our chain does not have that block (any more), or there is none below it."""
        window = self._window_below(height, block_hash)
        while not window.is_done and self._is_ours(window):
            ready = [
                BlockOfNames(below, header.block_hash, header_time(header), ops)
                for below, header, ops in window.ready()
            ]
            if ready:
                return ready
            self._news = trio.Event()
            with trio.move_on_after(LOOK_EVERY_SECONDS):
                await self._news.wait()
        return []

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for server in self._servers:
                nursery.start_soon(self._read_with, _Reading(server, self._patience))

    def _window_below(self, height: int, block_hash: str) -> PastWindow:
        window = self._window
        if window is None or not window.move_down(height, block_hash):
            window = self._window = PastWindow(height, block_hash)
        self._called.set()
        self._called = trio.Event()
        return window

    @property
    def _has_work(self) -> bool:
        """False before the first call, and once the first block is reached: then nobody needs to look again."""
        return self._window is not None and not self._window.is_done

    def _is_ours(self, window: PastWindow) -> bool:
        return self._view.chain is not None and self._view.chain.has_block(*window.top)

    # --- one server

    async def _read_with(self, reading: _Reading) -> None:
        """Never returns, and raises nothing that a server can cause."""
        while True:
            await reading.server.pace.wait_for_spare()
            called = self._called
            try:
                is_idle = not await self._read_piece(reading)
            except ElectrumTrouble as fault:
                await trio.sleep(reading.pause_after(fault))
                continue
            if is_idle:
                with trio.move_on_after(LOOK_EVERY_SECONDS if self._has_work else math.inf):
                    await called.wait()

    async def _read_piece(self, reading: _Reading) -> bool:
        """Returns whether there was anything to do."""
        window, session = self._window, reading.server.session
        if window is None or window.is_done:
            return False
        if session is None or not session.has_looked or session.shown_tip is None:
            return False
        if not self._is_ours(window) or session.shown_tip.height < window.top[0]:
            return False
        self._link_own(window)
        began = trio.current_time()
        headers = window.take(reading.blocks, began)
        if not headers and await self._link(window, session):
            return True
        if not (headers := headers or window.take_over(FEWEST_BLOCKS, began)):
            return False
        try:
            window.store(await session.names_of_the_past(headers, reading.wait_for_spare))
        finally:
            window.put_back(headers)
        self._news.set()
        await trio.sleep(reading.rest_after(trio.current_time() - began))
        return True

    def _link_own(self, window: PastWindow) -> None:
        """Links headers that we have verified ourselves."""
        chain = self._view.chain
        assert chain is not None, "the window's top is in our chain"
        height, block_hash = window.lowest
        if window.is_wide or not chain.has(height) or chain.hash_at(height) != block_hash:
            return
        first = max(FIRST_BLOCK, chain.base_height, height - HEADERS_AT_ONCE)
        window.link(height, [chain.header_at(below) for below in range(first, height)])

    async def _link(self, window: PastWindow, session: Session) -> bool:
        """Links headers that are below our own. Returns whether it did."""
        async with self._linking:  # one server at a time: the others would ask for the same
            if window.is_wide:
                return False
            height, block_hash = window.lowest
            first = max(FIRST_BLOCK, height - HEADERS_AT_ONCE)
            headers = await session.ancestors(first, height, block_hash)
            window.link(height, headers[:-1])
            return True
