"""How long a person in a browser waits for a price: `python -m tests.bench.bench_browser [ROUNDS] [TRANSPORT]` (7, ws).

From Chromium, with the page of `examples/browser`: NEW-CID to ADDING-CID, as the page marks both, for files of 1 kB, 1,
10 and 50 MiB that the worker has never seen, so that every block comes out of the browser. Median and worst of so many
rounds, and what the median is in MB/s. `TRANSPORT` is a row of `tests/interop/test_chromium.py`.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path

import trio

from tests.interop.chromium import CHROMIUM, Chromium
from tests.interop.test_chromium import TRANSPORTS, Transport, ask, heard, open_scene

MIB = 1_048_576
SIZES = {"1 kB": 1_000, "1 MiB": MIB, "10 MiB": 10 * MIB, "50 MiB": 50 * MIB}
LONGEST_WAIT = 120


async def waited(browser: Chromium, folder: Path, url: str, size: int) -> float:
    """Seconds from the page's NEW-CID to the worker's ADDING-CID, for a new file of that size in a new page."""
    await browser.open(url)
    await browser.shows("#connection", "Connected to worker")
    await ask(browser, folder, random.randbytes(size))
    await browser.shows("#headline", "Here is the price", LONGEST_WAIT)
    asked, quoted = (await heard(browser, "NEW-CID"))[0], (await heard(browser, "ADDING-CID"))[0]
    assert quoted.said["bytes"]["image"] >= size
    return (quoted.ms - asked.ms) / 1000


async def main(rounds: int, over: Transport) -> None:
    with tempfile.TemporaryDirectory() as name:
        async with open_scene(Path(name), over) as scene:
            print(f"Chromium, {over.name}: NEW-CID to ADDING-CID, {rounds} rounds", flush=True)
            for what, size in SIZES.items():
                seconds = [await waited(scene.browser, Path(name), scene.url, size) for _ in range(rounds)]
                median = statistics.median(seconds)
                rate = f"{size / median / 1e6:6.1f} MB/s" if size >= MIB else ""
                print(f"{what:>7}{median * 1000:9.1f} ms   worst {max(seconds) * 1000:9.1f} ms   {rate}", flush=True)


if __name__ == "__main__":
    chosen = sys.argv[2] if len(sys.argv) > 2 else "ws"
    transport = next(row for row in TRANSPORTS if row.name == chosen)
    if CHROMIUM is None:
        print("no Chromium on this machine: nothing was measured")
    else:
        trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 7, transport)
