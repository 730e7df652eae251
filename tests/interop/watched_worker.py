"""`pinning-worker`, its event loop watched: `python -m tests.interop.watched_worker run`.

What stops the loop is told on standard error, which the rig keeps with the worker's log. The worker knows nothing
of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from pinning_worker import cli
from tests.event_loop import watched


def main() -> None:
    run = trio.run

    def run_watched(main: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        async def inside() -> Any:
            with watched():
                return await main(*args)

        return run(inside, **options)

    trio.run = run_watched  # type: ignore[assignment]  # called as the library's is
    cli.main()


if __name__ == "__main__":
    main()
