"""Opens each wing of the worker from the settings. Nothing here decides: it hands parts to one another.

    network   the libp2p host, gossip, and the discovery of peers
    stores    the database, the journals and the blocks; pairing: whether they belong together
    chain     the headers to follow, and the watcher of payments
    terms     the operator's settings in the words of the stories
    stories   the nesting of the parts: the inner one ends first

`daemon.py` opens them one inside the other, and ends them on a signal.
"""
