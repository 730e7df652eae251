"""The chain as the stories see it: verified headers, proven payments and NameOps, over any number of Electrum servers.

    watcher = PaymentWatcher(DOICHAIN, clock, ["wss://one:50004", "ssl://two:50002?cert=sha256:…"], scripts=[…],
                             headers=HeaderFile(data_directory, DOICHAIN), remembered={txid: proof, …})
    await nursery.start(watcher.run, lifecycle)

- Every server is visited all the time (`server.py`); their histories form one union (`view.py`). One honest server is
  enough against omission, proofs against invention.
- The listener receives one thing after another: the tip, then the payments. It receives the state as it *is*: ten
  changes while it was busy are one. After a restart it receives everything but `remembered` again.
- The story decides how deep is deep enough. `sight.py` knows whether the worker would notice a payment at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog
import trio
from trio_typing import TaskStatus

from pinning_worker.adapters.electrum.endpoint import parse_server_url
from pinning_worker.adapters.electrum.faults import ElectrumTrouble
from pinning_worker.adapters.electrum.header_file import HeaderFile
from pinning_worker.adapters.electrum.past import PastReader
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.server import Server, ServerState
from pinning_worker.adapters.electrum.session import Session
from pinning_worker.adapters.electrum.sight import Sight
from pinning_worker.adapters.electrum.view import ChainView, header_time
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import Proof, Tip
from pinning_worker.ports.chain import BlockOfNames, ChainListener
from pinning_worker.ports.world import Clock, Trouble

MOST_SERVERS = 16
WAIT_FOR_ALL_SECONDS = 900.0  # while some server is unheard; after that, one server read in full is enough

_log = structlog.get_logger(__name__)


class PaymentWatcher:
    """The port `Chain`, and the service that keeps it true.

    `remembered` holds the transactions reported in an earlier run, with their last proof. Those whose proof stands are
    neither requested nor reported again, but for those in `read_again`, whose payment proof is wanted; the others are
    reported with their new state.
    """

    def __init__(
        self,
        network: Network,
        clock: Clock,
        servers: Sequence[str],
        *,
        longest_unseen: timedelta,
        scripts: Collection[Script] = (),
        headers: HeaderFile | None = None,
        remembered: Mapping[Txid, Proof | None] | None = None,
        read_again: Collection[Txid] = (),
        patience: Patience | None = None,
    ) -> None:
        """Raises BadServerUrl. Without `headers`, verified headers last as long as this object."""
        if len(servers) > MOST_SERVERS:
            raise ValueError(f"{len(servers)} Electrum servers: {MOST_SERVERS} are more than enough")
        self._put_off = (patience or Patience()).put_off_seconds
        self._view = ChainView(network, clock, remembered or {}, read_again)
        self._headers = headers
        self._servers = [
            Server(parse_server_url(url), self._view, patience or Patience()) for url in dict.fromkeys(servers)
        ]
        self._past = PastReader(self._view, self._servers, patience or Patience())
        self.sight = Sight(self._view, self._servers, longest_unseen)
        self._news, self._unsaved = trio.Event(), trio.Event()
        self._is_telling = self._is_read = False
        self._started_at = 0.0
        self._view.watch(scripts)
        self._view.ring, self._view.ring_sessions = self._ring, self._ring_sessions
        self._view.everybody_heard = lambda: all(server.is_heard for server in self._servers)

    # --- the port

    async def tip(self) -> Tip | None:
        """The best verified header; None until our chain has caught up with a server once in this run."""
        return self._view.tip()

    async def is_seen(self) -> bool:
        return self.sight.is_seen()

    async def is_read(self) -> bool:
        """True for good once we have read a fresh server in full, have heard all others, and have reported all that
        they had shown by then. A server that shows new things without end does not delay it."""
        if not self._is_read:
            told = not self._is_telling and not self._news.is_set()
            self._is_read = told and self._servers_are_read()
        return self._is_read

    def _servers_are_read(self) -> bool:
        waited = trio.current_time() - self._started_at >= WAIT_FOR_ALL_SECONDS
        if not waited and not all(server.is_heard or server.refuses_history for server in self._servers):
            return False
        return any(
            server.session is not None and server.session.has_looked and self.sight.is_fresh(server)
            for server in self._servers
        )

    async def has_block(self, height: int, block_hash: str) -> bool:
        return self._view.chain is not None and self._view.chain.has_block(height, block_hash)

    async def watch(self, scripts: Collection[Script]) -> None:
        """Adds payment scripts to those watched; their whole history is reported as it is read."""
        self._view.watch(scripts)

    async def name_ops(self, height: int) -> BlockOfNames | None:
        """None if our chain has no such block. Raises ElectrumTrouble when no server gives it."""
        if self._view.header_at(height) is None:
            return None
        trouble = ElectrumTrouble("no Electrum server that has this block is connected")
        for session in self._sessions_with(height):
            header = self._view.header_at(height)
            if header is None:  # a reorg while we asked the last server
                return None
            try:
                ops = await session.name_ops(height, header)
            except ElectrumTrouble as fault:
                trouble = fault
                continue
            if self._view.header_at(height) != header:
                return None
            return BlockOfNames(height, header.block_hash, header_time(header), ops)
        raise trouble

    async def names_below(self, height: int, block_hash: str) -> Sequence[BlockOfNames]:
        return await self._past.below(height, block_hash)

    def _sessions_with(self, height: int) -> list[Session]:
        """Sessions with servers that show this height: those with budget left first, and among them WebSockets first
        (the other transports delay small answers)."""
        by_speed = sorted(self._servers, key=lambda server: (server.pace.is_spent, not server.endpoint.is_websocket))
        sessions = [server.session for server in by_speed if server.session is not None]
        return [session for session in sessions if session.shown_tip and session.shown_tip.height >= height]

    def servers(self) -> list[ServerState]:
        """The states in the order of the configuration."""
        return [server.state() for server in self._servers]

    # --- the service

    async def run(self, listener: ChainListener, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled. It has started once the stored headers are verified, even if no server is reachable."""
        self._started_at = trio.current_time()
        if self._headers is not None:
            chain = await trio.to_thread.run_sync(self._headers.load)
            if chain is not None:
                self._view.take_up(chain)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell, listener)
            nursery.start_soon(self.sight.run)
            nursery.start_soon(self._past.run)
            if self._headers is not None:
                nursery.start_soon(self._keep_headers, self._headers)
            for server in self._servers:
                nursery.start_soon(server.run)
            task_status.started()

    def _ring(self) -> None:
        self._news.set()
        self._unsaved.set()
        self.sight.look()

    def _ring_sessions(self) -> None:
        for server in self._servers:
            if server.session is not None:
                server.session.ring()

    async def _tell(self, listener: ChainListener) -> None:
        """The only task that calls the listener, so that the listener receives everything in order."""
        while True:
            self._is_telling = False
            await self._news.wait()
            self._news, self._is_telling = trio.Event(), True
            is_read_by_then = self._servers_are_read()
            news = self._view.take_news()
            if not news.is_all:
                self._news.set()
            if news.tip is not None:
                await self._until_taken(partial(listener.tip_moved, news.tip, news.fork_height))
            for change in news.transactions:
                if isinstance(change, str):
                    await self._until_taken(partial(listener.payment_gone, change))
                else:
                    await self._until_taken(partial(listener.payment_seen, change))
            self._is_read = self._is_read or is_read_by_then

    async def _until_taken(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Repeats the call until the listener could store it, and makes no other call before."""
        while True:
            try:
                return await tell()
            except Trouble as trouble:
                _log.error("chain.news_put_off", seconds=self._put_off, reason=str(trouble))
                await trio.sleep(self._put_off)

    async def _keep_headers(self, file: HeaderFile) -> None:
        """Stores changed headers. If the disk is full now, it may have room at the next block; until then nothing is
        lost, for any server can supply the headers again."""
        while True:
            await self._unsaved.wait()
            self._unsaved = trio.Event()
            change = self._view.take_unsaved()
            if change is None:
                continue
            try:
                await trio.to_thread.run_sync(file.save, change)
            except OSError as error:
                _log.warning("headers.not_stored", why=str(error))
                self._view.mark_unsaved(change.from_height)
