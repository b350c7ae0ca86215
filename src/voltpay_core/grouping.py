"""Groups a batch by account and cuts it into commit units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from voltpay_core.outcomes import Decoded, DecodedPayment

AccountId = int


def by_account(batch: Iterable[Decoded]) -> dict[AccountId | None, list[Decoded]]:
    """The records of each account in their order (G3); None gathers those that name no account."""
    groups: dict[AccountId | None, list[Decoded]] = {}
    for item in batch:
        account = item.payment.account_id if isinstance(item, DecodedPayment) else None
        groups.setdefault(account, []).append(item)
    return groups


def commit_units(
    groups: Mapping[AccountId | None, Sequence[Decoded]], accounts: int | None
) -> Iterator[list[Decoded]]:
    """Whole account groups, that many to a transaction; None puts the entire batch into one."""
    waiting = iter(groups.values())
    while unit := list(islice(waiting, accounts)):
        yield list(chain.from_iterable(unit))
