"""Groups a batch by account and cuts it into commit units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from voltpay_core.outcomes import Decoded, DecodedPayment

AccountId = int


def by_account(batch: Iterable[Decoded]) -> dict[AccountId | None, list[Decoded]]:
    """Group records by account, in their order (G3); records without an account are under None."""
    groups: dict[AccountId | None, list[Decoded]] = {}
    for item in batch:
        account = item.payment.account_id if isinstance(item, DecodedPayment) else None
        groups.setdefault(account, []).append(item)
    return groups


def commit_units(
    groups: Mapping[AccountId | None, Sequence[Decoded]], accounts: int | None
) -> Iterator[list[Decoded]]:
    """Cut the groups into commit units of `accounts` whole groups; None makes one of the batch."""
    remaining = iter(groups.values())
    while unit := list(islice(remaining, accounts)):
        yield list(chain.from_iterable(unit))
