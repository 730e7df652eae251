"""What a stranger may cost us: limits as plain rules, each of them pure."""
