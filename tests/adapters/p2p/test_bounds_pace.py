"""How much is asked of a line at a time: transcripts with a clock of their own."""

from pinning_worker.adapters.p2p.bounds.pace import FLOOR, MOST, Pace
from pinning_worker.domain.content.multihash import Multihash

KIB, MIB = 1024, 1024 * 1024


class Line:
    """A peer behind a line of so many bytes a second, that is asked for as many blocks as there is room for."""

    def __init__(self, rate: int, block: int, round_trip: float = 0.05) -> None:
        self.pace = Pace()
        self.now = 0.0
        self.under_way: list[int] = []
        self._rate, self._block, self._round_trip = rate, block, round_trip

    def run(self, blocks: int) -> list[int]:
        """How many were under way, before each came."""
        waiting, asked = list[bytes](), 0
        under_way = []
        while waiting or asked < blocks:
            while asked < blocks and self.pace.has_room(self._block):
                self.now += 0.0 if waiting else self._round_trip
                waiting.append(asked.to_bytes(4, "big"))
                self.pace.asked(Multihash(waiting[-1]), self._block, self.now)
                asked += 1
            under_way.append(len(waiting))
            for _ in range(16):
                self.now += self._block / 16 / self._rate
                self.pace.received(self._block // 16, self.now)
            self.pace.settled(Multihash(waiting.pop(0)), self.now)
        return under_way


def test_a_slow_line_is_asked_for_one_large_block_at_a_time() -> None:
    assert set(Line(100_000, MIB).run(10)) == {1}
    assert set(Line(50_000, MIB).run(10)) == {1}


def test_small_blocks_fill_a_second_of_a_slow_line() -> None:
    line = Line(500_000, 64 * KIB)
    assert max(line.run(50)) == 500_000 // (64 * KIB)


def test_a_fast_line_is_full_after_its_first_block() -> None:
    assert Line(100 * MIB, MIB, round_trip=0.0).run(40)[:3] == [1, 8, 8]


def test_a_long_line_is_full_after_a_few_round_trips() -> None:
    line = Line(20 * MIB, MIB, round_trip=0.3)
    assert max(line.run(40)) == MOST // MIB


def test_tiny_blocks_are_never_held_back() -> None:
    pace = Pace()
    for number in range(32):
        assert pace.has_room(FLOOR // 32)
        pace.asked(Multihash(bytes([number])), FLOOR // 32, 0.0)
    assert not pace.has_room(1)


def test_a_line_that_was_measured_is_known_when_its_peer_comes_back() -> None:
    line = Line(10 * MIB, MIB)
    line.run(10)
    line.pace.asked(Multihash(b"lost"), MIB, line.now)
    line.pace.disconnected()
    line.now += 3600
    assert line.run(10)[0] > 1


def test_a_line_that_became_slow_is_noticed_within_its_next_second() -> None:
    line = Line(10 * MIB, MIB)
    line.run(10)
    line._rate = 50_000
    assert line.run(20)[-8:] == [1] * 8


def known(rate: int) -> Pace:
    pace = Pace()
    pace.asked(Multihash(b"first"), MIB, 0.0)
    pace.received(MIB, MIB / rate)
    pace.settled(Multihash(b"first"), MIB / rate)
    return pace


def quiet(pace: Pace, since: float) -> list[float]:
    """The seconds after a ping, answered within one, in which nothing is asked."""
    pace.ping_began(since)
    quiet = [0.0] if pace.is_quiet_before(since) else []
    pace.ping_ended()
    return quiet + [float(second) for second in range(1, 16) if pace.is_quiet_before(since + second)]


def test_nothing_is_asked_of_a_slow_line_while_a_ping_is_answered() -> None:
    assert quiet(known(100_000), 100.0) == [0.0]
    assert quiet(known(1_000_000), 100.0) == []
    assert quiet(Pace(), 100.0) == [], "a line that nobody knows"


def test_nothing_is_asked_of_a_very_slow_line_before_a_ping_is_due() -> None:
    assert quiet(known(50_000), 100.0) == [0.0, *range(6, 12)], "one that never comes is not waited for"


def test_a_ping_that_is_never_finished_keeps_nobody_waiting() -> None:
    pace = known(100_000)
    pace.ping_began(100.0)
    assert [pace.is_quiet_before(100.0 + second) for second in (1, 9, 11)] == [True, True, False]
