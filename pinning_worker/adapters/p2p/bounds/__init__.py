"""The cost of one peer, one connection or all of them together, and its bounds: plain counting, without libp2p."""
