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

_NAMECOIN = json.loads(Path(__file__).with_name("namecoin-headers.json").read_text())["headers"]
NAMECOIN_FULL = {height: bytes.fromhex(_NAMECOIN[f"namecoin_header_{height}"]) for height in (19_204, 19_414, 37_174)}
"""Whole headers of Namecoin's mainnet: before, and after, its first merge-mined blocks."""
NAMECOIN_WITHOUT_OUTPUT = bytes.fromhex(_NAMECOIN["header_zero_output_auxpow"])
"""A header whose AuxPow has a coinbase without an output; its target is easier than Namecoin's mainnet allows."""
