"""What of kafka-python's log is passed on."""

from logging import LogRecord

import pytest

from voltpay_adapters.kafka.logs import SeldomFilter


def line(number: int, seconds: float, name: str = "kafka.client", path: str = "a.py") -> LogRecord:
    record = LogRecord(name, 30, path, number, "words", (), None)
    record.created = 1_000_000 + seconds
    return record


def test_each_line_of_code_may_log_once_a_minute() -> None:
    """A line is passed a minute after the same one at the earliest; each line counts alone."""
    passes = SeldomFilter().filter
    assert [passes(line(1, seconds)) for seconds in (0, 1, 59.9, 60, 60.1, 119, 120)] == [
        *(True, False, False),
        *(True, False, False),
        True,
    ]
    assert passes(line(2, 120.5))
    assert passes(line(1, 120.5, path="b.py"))


@pytest.mark.parametrize("name", ["voltpay", "kafkaesque", "other.kafka"])
def test_other_logs_are_left_alone(name: str) -> None:
    """Only the loggers of kafka-python are limited."""
    passes = SeldomFilter().filter
    assert all(passes(line(1, second, name)) for second in range(3))
