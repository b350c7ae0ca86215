"""Findings: the answers to questions about the infrastructure, for its operators."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from voltpay_core.errors import Misconfigured, Unavailable


@frozen
class Finding:
    """The answer to one question.

    Attributes:
        name: What the question is about, in a word.
        answer: A sentence if all is well, otherwise the failure that the writer would have.
    """

    name: str
    answer: str | Misconfigured | Unavailable

    @property
    def failure(self) -> Misconfigured | Unavailable | None:
        """The failure; None if all is well."""
        return None if isinstance(self.answer, str) else self.answer


def ask(name: str, question: Callable[[], str]) -> Finding:
    """Ask a question; a failure becomes the answer."""
    try:
        return Finding(name, question())
    except (Misconfigured, Unavailable) as failure:
        return Finding(name, failure)
