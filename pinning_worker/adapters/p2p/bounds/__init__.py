"""Limits of ours on the cost of one peer or address: pure arithmetic, without libp2p, an event loop or a clock.

Time is an argument, in seconds of one clock that does not run backwards; the callable that closes a connection is an
argument too. So every limit is tested without a host, and stays when the cure that asks it goes.

    coming in     door, datagram_door, eviction, sites            at the socket, and when the house is full
    reading       unread, stream_window, half_read, unfinished    bytes on streams, frames without their end
    gossip        flood_guard, gossip_budget, intake, retold      messages taken in, control, messages that wait
    requests      request_budget                                  a minute's worth of each origin and address
    sending       outgoing_queue                                  messages for a peer that takes nothing
    fetching      pace, trickle                                   how much to ask of a line, which bytes are progress
    bucket        a budget that refills: several of these use it

Read `door` and `eviction`, then `flood_guard`.
"""
