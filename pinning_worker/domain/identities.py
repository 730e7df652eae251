"""What the chain's things are called by, for every room of the domain: each a type of its own, so that none passes for
another. A value becomes one where it is read or computed, once; after that no `str` and no `bytes` is converted again.
Roots and blocks have theirs in `content` (`Root`, `Multihash`)."""

from __future__ import annotations

from typing import NewType

Txid = NewType("Txid", str)
"""A transaction id: 64 hex digits in display order, as people, Electrum servers and messages write it."""

Script = NewType("Script", bytes)
"""An output script (scriptPubKey): it says who may spend. An input's scriptSig is plain bytes."""

NameBytes = NewType("NameBytes", bytes)
"""A name as it stands in the chain: bytes in no particular encoding (`name_text` writes them). Empty: there is none."""
