"""Our chain follows a server's headers: as far as they are verified, and only if they have more work.

    its tip is ours already           nothing to do
    a header is hours ahead of us     follow as far as the header before it; request it again at the next look
    its tip follows ours              the notification contained the header: no request needed
    else                              find the fork (1, 2, 4, 8 … blocks back), verify from there

Headers are requested in pieces, so that an answer stays bounded (an AuxPow makes a header of 80 bytes ten times as
large), and each piece is verified before the next. A branch that only extends ours is adopted piece by piece.
"""

from __future__ import annotations

import trio

from pinning_worker.adapters.electrum.answers import ShownTip, read_headers
from pinning_worker.adapters.electrum.faults import LinkLost, RequestRefused, ServerMisbehaved
from pinning_worker.adapters.electrum.introduction import require_anchor_reached
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.view import ChainView
from pinning_worker.adapters.electrum.wire import Wire
from pinning_worker.domain.chain.anchor import anchor_heights
from pinning_worker.domain.chain.headerchain import Branch, FromTheFuture, HeaderChain, Overtaken
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, Header, parse_header

HEADERS_AT_ONCE = 250  # verified without a pause: some 50 ms with their AuxPow


class Follower:
    """Follows one server over one connection. `waits_for` is its next header, if that is too far ahead of our clock."""

    def __init__(self, wire: Wire, pace: Pace, view: ChainView, courtesy_seconds: float) -> None:
        self._wire, self._pace, self._view, self._courtesy_seconds = wire, pace, view, courtesy_seconds
        self._at_once = HEADERS_AT_ONCE
        self.waits_for: FromTheFuture | None = None

    async def follow(self, shown: ShownTip) -> None:
        """Makes that tip ours, unless another has more work or a header waits for its time.

        Raises LinkLost, and ServerMisbehaved on an invalid header.
        """
        require_anchor_reached(shown, self._view.network)
        chain = self._view.chain or await self._start()
        try:
            if not _has(chain, shown):
                await self._approach(chain, shown)
        except BadHeader as error:
            raise ServerMisbehaved(f"headers: {error}") from error
        except Overtaken:
            self._view.ring_sessions()  # another session replaced the chain under ours: look again
        if _has(chain, shown):
            self.waits_for = None
        if _has(chain, shown) or self.waits_for is not None:
            self._view.catch_up()  # as far as our clock allows

    async def _start(self) -> HeaderChain:
        heights = anchor_heights(self._view.network)
        return self._view.start(await self._headers(heights.start, heights[-1]))

    async def _approach(self, chain: HeaderChain, shown: ShownTip) -> None:
        self.waits_for, stood_at = None, -1
        branch = await self._first_branch(chain, shown)
        while branch is not None:
            adopted = self._view.adopt(branch)
            if branch.tip_height >= shown.height or self.waits_for is not None:
                return
            if adopted:
                branch = await self._extended(chain.branch(chain.tip_height), shown)
            elif branch.tip_hash == chain.hash_at(branch.tip_height):  # another session fetched the same, faster
                if stood_at == chain.tip_height:
                    return  # no session makes progress, and this server's headers are ours already: look again later
                stood_at = chain.tip_height
                await self._let_others_go_on(chain, shown)
                branch = None if _has(chain, shown) else await self._first_branch(chain, shown)
            else:
                branch = await self._extended(branch, shown)

    async def _let_others_go_on(self, chain: HeaderChain, shown: ShownTip) -> None:
        """Waits while other sessions advance: fetching the same headers twice would waste this server's budget."""
        height = -1
        while height < chain.tip_height < shown.height:
            height = chain.tip_height
            await trio.sleep(self._courtesy_seconds)

    async def _first_branch(self, chain: HeaderChain, shown: ShownTip) -> Branch | None:
        """Fetches the first headers of that server that are not ours. None if its chain became shorter meanwhile; it
        will notify us of that."""
        if shown.height == chain.tip_height + 1 and _follows(shown.header, chain, chain.tip_height):
            return self._extend(chain.branch(chain.tip_height), shown.data)
        floor, highest, back = chain.floor, min(chain.tip_height, shown.height - 1), 0
        if shown.height <= floor:
            return None  # it is far behind and has nothing new
        while data := await self._headers(max(floor, highest - back) + 1, shown.height):
            fork_height = max(floor, highest - back)
            if _follows(parse_header(data[:HEADER_SIZE]), chain, fork_height):
                return self._extend(chain.branch(fork_height), data)
            if fork_height == floor:
                raise ServerMisbehaved("its chain is another one from our anchor on")
            back = 2 * back or 1
        return None

    async def _extended(self, branch: Branch, shown: ShownTip) -> Branch | None:
        """Adds more of that server's headers. None if its chain became shorter meanwhile."""
        data = await self._headers(branch.tip_height + 1, shown.height)
        return self._extend(branch, data) if data else None

    def _extend(self, branch: Branch, data: bytes) -> Branch:
        """Adds those headers, as far as our clock allows."""
        try:
            branch.extend(data, self._view.clock.now().timestamp(), self._at_once)
        except FromTheFuture as waits:
            self.waits_for = waits
        return branch

    async def _headers(self, first: int, last: int) -> bytes:
        """Fetches headers from `first` on, as many as fit into one answer; none above the server's tip."""
        while True:
            await self._pace.wait()
            count = min(last - first + 1, self._at_once)
            try:
                return read_headers(await self._wire.call("blockchain.block.headers", first, count))
            except RequestRefused as refusal:
                if self._at_once == 1:
                    raise LinkLost(f"no headers from {first}: {refusal}") from refusal
                self._at_once = max(1, self._at_once // 10)  # the answer was larger than the server is willing to send


def _has(chain: HeaderChain, shown: ShownTip) -> bool:
    return chain.hash_at(shown.height) == shown.header.block_hash


def _follows(header: Header, chain: HeaderChain, height: int) -> bool:
    return header.previous[::-1].hex() == chain.hash_at(height)
