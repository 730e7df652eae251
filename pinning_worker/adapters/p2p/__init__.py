"""The libp2p host, its cures, pubsub, the bitswap engine, relays and the DHT."""
