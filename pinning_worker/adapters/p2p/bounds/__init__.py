"""Limits of ours on what one peer may cause: pure arithmetic, without libp2p, an event loop or a clock."""
