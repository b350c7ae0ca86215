"""Calls of librdkafka that take no timeout."""

from threading import Event, current_thread

import pytest
from confluent_kafka import KafkaError, KafkaException

from voltpay_adapters.confluent.bounded import BoundedCalls


def test_a_call_has_its_result_or_its_error() -> None:
    """What a call returns or raises is returned or raised by `make`."""
    calls = BoundedCalls(60)
    assert calls.make(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        calls.make(lambda: 1 // 0)
    assert calls.make(lambda: 2) == 2
    assert not calls.is_busy


def test_a_call_that_never_ends_keeps_no_process_alive() -> None:
    """Calls are made in daemon threads, which Python does not wait for."""
    assert BoundedCalls(60).make(lambda: current_thread().daemon)


def test_a_call_that_is_not_done_in_time_counts_as_timed_out() -> None:
    """The caller gets an outage, and no other call is made before the late one is done."""
    calls, go_on, made = BoundedCalls(0.01), Event(), list[int]()
    for call in (go_on.wait, lambda: made.append(1)):
        with pytest.raises(KafkaException) as told:
            calls.make(call)
        assert told.value.args[0].code() == KafkaError._TIMED_OUT
        assert calls.is_busy
    go_on.set()
    assert calls._latest is not None
    assert calls._latest.result(60)
    assert not made
    assert BoundedCalls(60).make(lambda: 3) == 3
    assert not calls.is_busy
