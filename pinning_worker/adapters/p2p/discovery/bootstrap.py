"""Staying connected to the peers that the operator names (bootstrap and direct peers).

Dial, hold, dial again when lost, ever more patiently. A connection that is closed at once counts as a failure, so that
a peer that refuses us is not pestered.
"""

from __future__ import annotations

import random

import structlog
import trio

from pinning_worker.adapters.p2p.addresses import parse_peer
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import peer_id

DIAL_SECONDS = 15.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
LONGEST_WAIT_FOR_DIRECT_SECONDS = 10.0
HELD_SECONDS = 5.0

_log = structlog.get_logger(__name__)


async def stay_connected(host: Host, address: str, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
    """Runs until cancelled. The first failure of a row is logged as a warning, the others at debug level."""
    peer = peer_id(parse_peer(address).peer_id)
    failures = 0
    while True:
        try:
            await host.connect(address, DIAL_SECONDS)
        except CannotConnect as error:
            failures += 1
            tell = _log.warning if failures == 1 else _log.debug
            tell("bootstrap.not_connected", address=address, reason=str(error), failures=failures)
        else:
            since = trio.current_time()
            _log.info("bootstrap.connected", address=address)
            while host.is_connected(peer):
                await host.changed()
            failures = 0 if trio.current_time() - since >= HELD_SECONDS else failures + 1
        await trio.sleep(wait_after(failures, longest_wait))


def wait_after(failures: int, longest_wait: float = LONGEST_WAIT_SECONDS) -> float:
    """Seconds to wait, doubling with each failure in a row; half of it is random, lest workers dial in step."""
    longest = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures, 16), longest_wait)
    return longest / 2 + random.random() * longest / 2  # noqa: S311  jitter, not a secret


def longest_wait(is_direct: bool) -> float:
    """Shorter for a direct peer, so that we reach it soon after its restart."""
    return LONGEST_WAIT_FOR_DIRECT_SECONDS if is_direct else LONGEST_WAIT_SECONDS
