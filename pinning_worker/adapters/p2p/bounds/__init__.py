"""What one peer, one connection or all of them together may cost: plain counting, without libp2p."""
