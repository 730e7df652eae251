"""How much is let under way to us on a stream: transcripts with a clock of their own."""

import pytest

from pinning_worker.adapters.p2p.bounds.stream_window import SMALLEST, StreamWindow

KIB, MIB = 1024, 1024 * 1024
FIRST, LARGEST = 256 * KIB, 2 * MIB


class Line:
    """A sender that has always something to send, and a line of so many bytes a second, a round trip long."""

    def __init__(self, rate: float, round_trip: float = 0.05) -> None:
        self.window = StreamWindow(FIRST, LARGEST, 0.0)
        self.now = 0.0
        self.granted = FIRST
        self._rate, self._round_trip = rate, round_trip

    def carry(self, size: int) -> list[int]:
        """The bytes under way after each grant, while so many bytes come."""
        under_way = []
        while size > 0:
            piece = min(self.granted, 16 * KIB)
            self.now += max(piece / self._rate, piece * self._round_trip / max(self.granted, piece))
            self.granted -= piece
            size -= piece
            self.window.received(piece, self.now)
            if credit := self.window.credit(self.granted):
                self.granted += credit
                under_way.append(self.granted)
        return under_way


@pytest.mark.parametrize("rate", [50_000, 100_000])
def test_on_a_slow_line_a_second_of_it_is_under_way(rate: int) -> None:
    line = Line(rate)
    assert max(line.carry(4 * MIB)) <= max(SMALLEST, rate)


def test_a_fast_line_has_the_largest_window_soon() -> None:
    assert Line(50 * MIB).carry(4 * MIB)[-1] == LARGEST


def test_a_line_that_quickens_is_followed() -> None:
    line = Line(50_000)
    line.carry(MIB)
    line._rate = 50 * MIB
    assert line.carry(8 * MIB)[-1] == LARGEST


def test_three_short_lines_in_a_row_are_no_fast_line() -> None:
    """As a stream begins. On the stock library each of them doubles the window."""
    window = StreamWindow(FIRST, LARGEST, 0.0)
    for _ in range(3):
        window.received(40, 0.001)
    assert (window.size, window.credit(FIRST - 120)) == (FIRST, 0)


def test_a_pause_is_no_slowness() -> None:
    window = StreamWindow(FIRST, LARGEST, 0.0)
    for hour in range(1, 9):
        window.received(FIRST // 4, hour * 3600.0)
        window.received(FIRST // 4, hour * 3600.0 + 0.01)
        window.received(FIRST // 4, hour * 3600.0 + 0.02)
    assert window.size > FIRST, "what came after each pause came fast"
