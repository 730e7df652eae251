"""The composition root: opens the adapters, hands them to the stories, and closes everything in the right order.

    data directory's lock  >  libp2p host, gossip  >  database, block store  >  stories, bitswap, intake, watcher

Nesting is the shutdown order: SIGTERM ends the innermost part first, so the worker accepts nothing that it could not
finish, and every part that still answers has all that it uses. `run` calls `on_ready` once everything runs,
`on_ending` when the shutdown begins, `on_sight` when the chain comes into sight (None) or is lost (the reason).
SIGHUP never ends the worker: during all of `run` it rings the readers of files that may change while the worker runs.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from pinning_worker import __version__
from pinning_worker.adapters.electrum.sight import Blindness
from pinning_worker.adapters.machine.crash_file import read_crash_file
from pinning_worker.adapters.machine.datadir import hold_data_dir
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.sql.migrate import require_ready
from pinning_worker.settings import Settings
from pinning_worker.ungroup import one_error
from pinning_worker.wiring.network import open_network
from pinning_worker.wiring.stores import open_stores
from pinning_worker.wiring.stories import build_stories

log = structlog.get_logger()

LAST_WORDS_SECONDS = 3.0  # for the last messages to leave; also the limit of an opening that a signal interrupts


async def run(
    settings: Settings,
    on_ready: Callable[[Host], Awaitable[None]] | None = None,
    on_ending: Callable[[], None] = lambda: None,
    on_sight: Callable[[Blindness | None], None] = lambda _: None,
) -> None:
    """Runs the worker until SIGTERM or SIGINT. Raises the errors of the adapters' opening, each with its own advice."""
    with one_error(), trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async with trio.open_nursery() as outermost:
            rereading = _Rereading()
            outermost.start_soon(rereading.run, hangups)
            await _hold_and_run(settings, rereading, on_ready, on_ending, on_sight)
            outermost.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Rereading:
    """The bells that SIGHUP rings. Each wakes one reader, which logs by itself what it cannot read."""

    bells: list[Callable[[], None]] = field(default_factory=list)

    async def run(self, hangups: AsyncIterator[int]) -> None:
        async for _ in hangups:
            log.info("settings.reread", what="the denylist, and what `blocks release` lets go")
            for ring in self.bells:
                ring()


async def _hold_and_run(
    settings: Settings,
    rereading: _Rereading,
    on_ready: Callable[[Host], Awaitable[None]] | None,
    on_ending: Callable[[], None],
    on_sight: Callable[[Blindness | None], None],
) -> None:
    with hold_data_dir(settings.data_dir, settings.network):
        await trio.to_thread.run_sync(require_ready, settings.database_url)
        crashes = await trio.to_thread.run_sync(read_crash_file, settings.data_dir, __version__)
        async with trio.open_nursery() as nursery:
            hearing = trio.CancelScope()

            def ending() -> None:
                crashes.forget_at_work()
                on_ending()

            nursery.start_soon(_end_on_signal, hearing, nursery.cancel_scope, ending)
            async with open_network(settings) as network, open_stores(settings) as stores:
                stories = await build_stories(settings, network, stores, crashes)
                rereading.bells.append(stories.look_again)
                if hearing.cancel_called:  # a signal during the opening: no work begins any more
                    return nursery.cancel_scope.cancel()
                with crashes.open():
                    await stories.run(on_ready, on_sight, until=hearing)
                await network.pubsub.drain()
            return nursery.cancel_scope.cancel()


async def _end_on_signal(
    hearing: trio.CancelScope, everything: trio.CancelScope, on_ending: Callable[[], None]
) -> None:
    """Cancels the stories first; their last messages have LAST_WORDS_SECONDS to leave."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("worker.ending", signal=signal.Signals(number).name)
            on_ending()
            hearing.cancel()
            everything.deadline = trio.current_time() + LAST_WORDS_SECONDS
            return
