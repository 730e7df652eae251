"""A watcher between scripted servers and a listener that remembers, for as long as a test needs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import trio

from pinning_worker.adapters.electrum.header_file import HeaderFile
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import Proof
from pinning_worker.ports.world import Clock
from tests.adapters.electrum.listening import Heard, eventually
from tests.adapters.electrum.scripted import PAYEE, ScriptedServer, serving
from tests.mining import LATER

# Servers are on this machine: what takes minutes out there takes moments here.
BRISK = Patience(
    first_retry_seconds=0.01,
    longest_retry_seconds=0.05,
    first_distrust_seconds=1000.0,
    longest_distrust_seconds=1000.0,
    put_off_seconds=0.01,
)

LONGEST_UNSEEN = timedelta(hours=2)


@dataclass
class ClockAt:
    """A clock that stands still, until a test sets it. Without a time it is a year for which no header is ahead."""

    seconds: float = LATER

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


@asynccontextmanager
async def watching(
    *servers: ScriptedServer,
    patience: Patience = BRISK,
    scripts: tuple[Script, ...] = (PAYEE,),
    headers: HeaderFile | None = None,
    remembered: Mapping[Txid, Proof | None] | None = None,
    read_again: Collection[Txid] = (),
    clock: Clock | None = None,
    longest_unseen: timedelta = LONGEST_UNSEEN,
    heard: Heard | None = None,
) -> AsyncIterator[tuple[PaymentWatcher, Heard]]:
    """These servers serve and a watcher follows them; the listener has not necessarily heard anything yet."""
    async with serving(*servers) as nursery:
        watcher = PaymentWatcher(
            servers[0].ledger.network,
            clock or ClockAt(),
            [server.url for server in servers],
            scripts=scripts,
            headers=headers,
            remembered=remembered,
            read_again=read_again,
            patience=patience,
            longest_unseen=longest_unseen,
        )
        heard = heard or Heard()
        await nursery.start(watcher.run, heard)
        yield watcher, heard


def checking_in_often(**changes: float) -> Patience:
    return replace(BRISK, check_in_seconds=0.02, **changes)


async def until_asked(server: ScriptedServer, method: str, times: int = 1) -> None:
    """Returns once the server has been asked that so often."""
    await eventually(lambda: server.asked[method] >= times, f"{method} is asked for {times} times")
