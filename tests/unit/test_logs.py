"""What is logged of what the libraries say."""

import logging

import pytest

from voltpay_cli.console.logs import log_to_stderr


def log(name: str, line: int, second: float, message: str) -> None:
    """Log something as that line of a module does, at that second."""
    fields = {"name": name, "pathname": f"{name}.py", "lineno": line, "created": second}
    record = logging.makeLogRecord({**fields, "levelno": logging.ERROR, "msg": message})
    logging.getLogger(name).handle(record)


def test_a_client_that_repeats_itself_is_logged_once_a_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each statement in the Kafka client logs a line a minute, whatever its lines say."""
    log_to_stderr("info")
    for tenth in range(1000):
        log("kafka.cluster", 1, 1000 + tenth / 10, f"topic {tenth} not found")
        log("kafka.cluster", 2, 1000 + tenth / 10, "refused")
        log("kafka.net", 1, 1000 + tenth / 10, "unknown")
    told = capsys.readouterr().err
    assert [told.count(words) for words in ("not found", "refused", "unknown")] == [2, 2, 2]
    assert "topic 600 " in told


def test_the_program_says_all_that_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of our own is left out."""
    log_to_stderr("info")
    for _ in range(100):
        log("voltpay", 1, 1000, "took over")
    assert capsys.readouterr().err.count("took over") == 100
