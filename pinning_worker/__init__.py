"""pinning-worker: a paid IPFS pinning node. Read `lifecycle.py` from top to bottom; the rest explains itself."""

__version__ = "0.1.0"
