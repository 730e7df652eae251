"""What one peer or address may cost us: limits of ours, pure arithmetic, without libp2p, an event loop or a clock."""
