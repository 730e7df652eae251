"""Cures of identify and ping: what peers report of themselves, how long we keep it, and the cost of asking."""
