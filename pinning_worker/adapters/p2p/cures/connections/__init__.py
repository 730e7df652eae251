"""Cures of the swarm: connections that come, go, come back, and are counted.

`deafness` gives an inbound connection its place while it lives, and tells the door when a handshake has finished. The
others concern closing, coming back, and private networks.
"""
