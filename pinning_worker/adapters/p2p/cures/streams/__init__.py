"""Cures of yamux: windows, frames, and streams that end or are abandoned.

`yamux_frames` is the largest: it holds a peer to the rules by which it may send. The limits are in `bounds/`
(`unread`, `stream_window`).
"""
