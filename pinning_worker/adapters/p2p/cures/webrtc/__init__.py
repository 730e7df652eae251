"""Cures of webrtc-direct. They need aiortc, so `cures.mend_webrtc()` imports them when a host listens on it.

`door` guards the way in, `bounds` and `window` limit the memory that a peer may use, `close` and `threads` the rest.
"""
