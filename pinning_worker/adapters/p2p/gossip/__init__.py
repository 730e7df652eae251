"""Topics: what we hear and say by gossipsub. Limits are in `bounds/`, faults of the library in `cures/gossip/`.

What is heard goes down this list, what is said comes up:

    stream          frames of one peer's streams, no more read than we can bear
    control         a frame's control in few words
    mended          decisions of the library, overridden
    router          the mesh: a hub, with direct peers
    pubsub          topics, open_pubsub, and what is looked at before a signature
    intake          messages of one topic that wait to be read
    request_reader  from the content topic to the stories          announcer   from the stories to the topic
    publisher       paces what we say, so that queues stay short

Read `pubsub` first, then `router`, then `request_reader`.
"""
