"""What the public Doichain really has: headers as its nodes and Electrum servers gave them in September 2026.

`FULL`: whole headers with their AuxPow, by height. `TIME_AND_BITS`: those two fields of 90 headers. What lies between
was not recorded, so whatever a test does there is made up, and the test says so.
"""

from __future__ import annotations

import json
from pathlib import Path

_RECORDED = json.loads(Path(__file__).with_name("doichain-headers.json").read_text())

CONTEXT_FROM: int = _RECORDED["context_from"]
CONTEXT = [bytes.fromhex(header) for header in _RECORDED["context"]]
FULL = {int(height): bytes.fromhex(header) for height, header in _RECORDED["full"].items()}
TIME_AND_BITS: dict[int, tuple[int, int]] = {
    int(height): (time, bits) for height, (time, bits) in _RECORDED["time_and_bits"].items()
}
TIP = max(FULL)
