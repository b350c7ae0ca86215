"""Bounds calls of librdkafka that take no timeout."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from attrs import define, field
from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")


@define
class BoundedCalls:
    """Makes calls one at a time, each in a thread that may outlive the caller's patience.

    Attributes:
        timeout: Seconds to wait for a call, at most.
    """

    _timeout: float
    _latest: Future[Any] | None = field(default=None, init=False)

    @property
    def is_busy(self) -> bool:
        """Whether the latest call is not done."""
        return self._latest is not None and not self._latest.done()

    def make(self, call: Callable[[], T]) -> T:
        """The result of a call.

        Raises:
            KafkaException: It failed; or (timed out) it is not done yet, or the one before is not.
        """
        if self.is_busy:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        result: Future[T] = Future()
        self._latest = result

        def run() -> None:
            try:
                result.set_result(call())
            except Exception as error:  # noqa: BLE001 - the caller gets it
                result.set_exception(error)

        Thread(target=run, daemon=True).start()
        try:
            return result.result(self._timeout)
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
