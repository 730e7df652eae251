"""`make demo-browser`: the page of `examples/browser` against a real worker and a Doichain of its own, until Ctrl-C.

Prints the address to open in any browser on this machine. The page's buttons sign, pay and mine in the sandbox. Nothing
leaves this machine, and everything that was started ends with it.
"""

import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from pinning_worker.sandbox.electrumx import ElectrumXFailed
from pinning_worker.ungroup import one_error
from tests.interop.market import CONFIRMATIONS, open_market
from tests.interop.page import PageError, open_page
from tests.interop.worker import WorkerError


def show(text: str) -> None:
    print(text, flush=True)


async def serve(folder: Path) -> None:
    """Runs until cancelled. Raises ElectrumXFailed, WorkerError, PageError."""
    async with AsyncExitStack() as stack:
        show("A Doichain regtest starts, and a real ElectrumX that indexes it")
        market = await stack.enter_async_context(open_market(folder))
        show("The worker starts: pinning-worker run")
        worker = await stack.enter_async_context(market.worker())
        show("The page is built: examples/browser")
        page = await stack.enter_async_context(open_page(market))
        show(f"\nOpen this in a browser on this machine:\n\n  {page.url([worker.ws_addr])}\n")
        show(f"Add a picture, ask for a price, make the payment, sign it there; {CONFIRMATIONS} blocks make it count.")
        show("Ctrl-C ends everything.")
        await trio.sleep_forever()


async def serve_until_interrupted(folder: Path) -> None:
    with one_error(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, folder)
            await anext(aiter(signals))
            nursery.cancel_scope.cancel()


def main() -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="pinning-worker-demo-") as folder:
            trio.run(serve_until_interrupted, Path(folder))
    except (ElectrumXFailed, WorkerError, PageError) as failure:
        sys.exit(str(failure))
    show("\nEverything that was started has ended.")


if __name__ == "__main__":
    main()
