"""Cures from the listening socket to the muxer: one port for tcp, ws and wss, the websocket, the first line.

Read `half_open` first: every connection comes in by the door that it keeps (`bounds/door.py`).
"""
