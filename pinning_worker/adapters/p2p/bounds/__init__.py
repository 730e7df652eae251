"""What one peer or one address may cost us: limits of ours, pure, without the library."""
