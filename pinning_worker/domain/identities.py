"""Types for names from the chain and the network. Each is a type of its own, so none passes for another. A value gets
its type once, where it is read or computed. `content` has its own two: `Root` and `Multihash`."""

from __future__ import annotations

from typing import NewType

Txid = NewType("Txid", str)
"""A transaction id: 64 hex digits in display order, as people, Electrum servers and messages write it."""

Script = NewType("Script", bytes)
"""An output script (scriptPubKey), the condition for spending. An input's scriptSig is plain bytes."""

NameBytes = NewType("NameBytes", bytes)
"""A name as in the chain: bytes in no particular encoding (`name_text` writes them). Empty: no name."""

PeerId = NewType("PeerId", str)
"""A libp2p peer id in base58 (`12D3Koo…`, `Qm…`), never an address that ends in one. Empty: no peer."""

NO_PEER = PeerId("")
