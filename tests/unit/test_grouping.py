"""Grouping by account, and cutting into commit units."""

from collections.abc import Sequence
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.strategies import histories

from voltpay_core.codec import Codec
from voltpay_core.grouping import by_account, commit_units
from voltpay_core.outcomes import Decoded, DecodedPayment, WarmedUp

batches = histories(refused=True, astray=True, longest=40).map(
    lambda records: [
        item for item in map(Codec().decode, records) if not isinstance(item, WarmedUp)
    ]
)


def account(item: Decoded) -> int | None:
    return item.payment.account_id if isinstance(item, DecodedPayment) else None


def identities(items: Sequence[Decoded]) -> list[int]:
    return [id(item) for item in items]


@given(batches)
def test_groups_are_a_partition_in_order(batch: list[Decoded]) -> None:
    """Each record is in its account's group and in no other one, in the order of the batch."""
    groups = by_account(batch)
    for name, group in groups.items():
        expected = [item for item in batch if account(item) == name]
        assert identities(group) == identities(expected)
    assert sum(map(len, groups.values())) == len(batch)
    assert all(groups.values())


@given(batch=batches, size=st.integers(1, 5))
def test_units_are_whole_groups(batch: list[Decoded], size: int) -> None:
    """Units hold whole groups in order, each with the given number of accounts."""
    groups = by_account(batch)
    units = list(commit_units(groups, size))
    assert identities(list(chain(*units))) == identities(list(chain(*groups.values())))
    assert all(len({account(item) for item in unit}) == size for unit in units[:-1])
    assert all(1 <= len({account(item) for item in unit}) <= size for unit in units)


@given(batches)
def test_the_entire_batch_is_one_unit(batch: list[Decoded]) -> None:
    """Without a number of accounts there is one unit, or none where there is nothing."""
    units = list(commit_units(by_account(batch), None))
    assert len(units) == bool(batch)
    assert sum(map(len, units)) == len(batch)


def test_nothing_makes_no_unit() -> None:
    """Without records there is no transaction."""
    none: list[Decoded] = []
    assert list(commit_units(by_account(none), 1)) == []
