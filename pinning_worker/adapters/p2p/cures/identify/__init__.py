"""Cures of identify and ping: what peers tell of themselves, how long it is kept, and what it may cost to ask."""
