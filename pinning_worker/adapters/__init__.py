"""Everything outside: each adapter serves a port of `ports/`; adapters never import each other or a story.

memory/     the twin of every port; the contract suite measures the others by it
sql/        books, receipts, name index
blocks/     blocks on disk, quarantine, journals
p2p/        the network of peers: topic, bitswap, DHT, relays
electrum/   the chain, by servers that need not be believed
machine/    clock, data directory, locks, systemd; file and disk faults that the others share
"""
