"""What one peer or address may cost us: limits of ours, pure arithmetic, without libp2p, an event loop or a clock.

Time is an argument, in seconds of one clock that does not run backwards; what closes a connection is handed in. So
every limit is tested without a host, and stays when the cure that asks it goes.

    coming in     door, datagram_door, who_leaves, sites          at the socket, and when the house is full
    reading       unread, stream_window, half_read, unfinished    bytes on streams, frames without their end
    gossip        flood_guard, gossip_budget, intake, retold      messages taken in, control, what waits to be read
    requests      request_budget                                  a minute's worth of each origin and address
    sending       outgoing_queue                                  what waits for a peer that takes nothing
    fetching      pace, trickle                                   how much is asked of a line, what counts as progress
    bucket        a budget that refills: several of these use it

Read `door` and `who_leaves`, then `flood_guard`.
"""
