"""Port Announcer: publishes the messages of the stories on the content topic.

The publisher behind it sends at once while there is room and paces the rest, so that peers' queues lose nothing. Its
own queue is bounded; a message that does not fit there is counted and lost: gossip is lossy, and a repeated request
repeats its answer.
"""

from __future__ import annotations

import structlog
import trio

from pinning_worker.adapters.p2p.gossip.pubsub import Topic
from pinning_worker.domain.topic.messages import Message

log = structlog.get_logger()


class TopicAnnouncer:
    def __init__(self, topic: Topic) -> None:
        self.lost = 0
        self._topic = topic

    async def say(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        if not self._topic.publish(message.encode()):
            self.lost += 1
            log.warning("answer.lost", kind=type(message).__name__, lost=self.lost)
