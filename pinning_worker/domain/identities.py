"""The names of things that come from the chain and from the network. Each is a type of its own, so none passes for
another. A value becomes one where it is read or computed, once. `content` has its own two: `Root` and `Multihash`."""

from __future__ import annotations

from typing import NewType

Txid = NewType("Txid", str)
"""A transaction id: 64 hex digits in display order, as people, Electrum servers and messages write it."""

Script = NewType("Script", bytes)
"""An output script (scriptPubKey): it says who may spend. An input's scriptSig is plain bytes."""

NameBytes = NewType("NameBytes", bytes)
"""A name as it stands in the chain: bytes in no particular encoding (`name_text` writes them). Empty: there is none."""

PeerId = NewType("PeerId", str)
"""A libp2p peer id in base58 (`12D3Koo…`, `Qm…`), never an address that ends in one. Empty: there is none."""

NO_PEER = PeerId("")
