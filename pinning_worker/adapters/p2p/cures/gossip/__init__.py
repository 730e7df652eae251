"""Cures of pubsub and gossipsub: the messages sent, the peers that get them, and the streams that carry them.

Read `reconnect` first (our stream to a peer follows the peer), then `one_writer` and `outgoing_queue` (one queue for
each peer, one task that writes it). A fault that an override can set right is no patch: `gossip/mended.py`.
"""
