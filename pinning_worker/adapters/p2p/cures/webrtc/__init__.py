"""Cures of webrtc-direct. They need aiortc, so `cures.mend_webrtc()` imports them when somebody listens so.

`door` keeps the way in, `bounds` and `window` what a peer may make us hold, `endings` and `threads` the rest.
"""
