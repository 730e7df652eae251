"""The libp2p host, its cures, pubsub and the bitswap engine."""
