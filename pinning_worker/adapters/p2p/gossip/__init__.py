"""Topics: subscribing and publishing by gossipsub. Limits are in `bounds/`, faults of the library in `cures/gossip/`.

Incoming messages go down this list, outgoing ones come up:

    stream          frames of one peer's streams, read no faster than we can bear
    control         a frame's control, without repetitions
    mended          decisions of the library, overridden
    router          the mesh: a hub, with direct peers
    pubsub          topics, open_pubsub, and the checks before a signature
    intake          messages of one topic that wait to be read
    request_reader  from the content topic to the stories          announcer   from the stories to the topic
    publisher       paces our messages, so that queues stay short

Read `pubsub` first, then `router`, then `request_reader`.
"""
