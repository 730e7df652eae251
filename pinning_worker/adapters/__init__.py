"""Everything outside: each adapter serves a port of `ports.py`; adapters never import each other or a story."""
