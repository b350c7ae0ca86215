"""Answers to questions about the infrastructure, for a person who sets it up."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from voltpay_core.errors import Misconfigured, Unavailable


@frozen
class Finding:
    """The answer to one question.

    Attributes:
        name: What the question is about, in a word.
        answer: How it is, in a sentence, or the failure that the writer would meet.
    """

    name: str
    answer: str | Misconfigured | Unavailable

    @property
    def failure(self) -> Misconfigured | Unavailable | None:
        """What is wrong; None where all is well."""
        return None if isinstance(self.answer, str) else self.answer


def ask(name: str, question: Callable[[], str]) -> Finding:
    """The answer to a question, which may fail."""
    try:
        return Finding(name, question())
    except (Misconfigured, Unavailable) as failure:
        return Finding(name, failure)
