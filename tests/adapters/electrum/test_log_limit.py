"""A server causes one log line about each subject in ten minutes, however often it gives reason."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pinning_worker.adapters.electrum.log_limit import REPEAT_SECONDS, LogLimit


async def test_a_subject_waits_and_no_other_waits_for_it(autojump_clock: MockClock) -> None:
    limit = LogLimit()
    assert [limit.allows("one"), limit.allows("one"), limit.allows("other")] == [True, False, True]
    await trio.sleep(REPEAT_SECONDS - 1)
    assert not limit.allows("one")
    await trio.sleep(1)
    assert [limit.allows("one"), limit.allows("one")] == [True, False]
