"""Electrum servers as witnesses: the worker believes none of them, and one honest one is enough.

watcher        the port `Chain`: any number of servers, and what they bring to the stories
server         one server for as long as the worker runs; session: one conversation with it
introduction   the first exchange: protocol, chain, tip; probe: the same for an operator
follow         our headers follow a server's; header_file: on disk; view: what we know, without I/O
payments       which histories are read first; sightings, shown: who shows what, and what is proven
nameops        all NameOps of some blocks; past: of those below the first start, past_window: which of them is where
sight          whether the worker would notice a payment made now
wire, frames, measured_stream, endpoint   JSON-RPC over tcp, ssl, ws, wss
bounds, pace, patience                    how large, how fast, how long
answers, faults                           parses answers into values; classes of failure, and whose fault each is
"""
