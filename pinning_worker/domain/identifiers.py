"""How a chain identifies things: a transaction, an owner of coins, a name.

They stand below `chain` and `money`, because both need them, and `chain` counts in the units of `money`.
"""

from __future__ import annotations

from typing import NewType

Txid = NewType("Txid", str)
"""A transaction id: 64 hex digits in display order, as people, Electrum servers and messages write it."""

Script = NewType("Script", bytes)
"""An output script (scriptPubKey): it says who may spend. An input's scriptSig is plain bytes."""

NameBytes = NewType("NameBytes", bytes)
"""A name as it stands in the chain: bytes in no particular encoding (`name_text` writes them). Empty: there is none."""
