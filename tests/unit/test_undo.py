"""What a rollback of the schema tells before it is run."""

from voltpay_adapters.postgres.changelog import MANY_ROWS, Undo
from voltpay_adapters.postgres.resources import changeset_ids, rollbacks


def test_each_changeset_has_its_rollback() -> None:
    """The rollbacks are those of the changelog, in its order, and none is empty."""
    found = rollbacks()
    assert tuple(found) == changeset_ids()
    assert all(found.values())
    assert found["003"] == "DROP TABLE write.payment_notes;"


def test_a_rollback_names_what_it_drops() -> None:
    """A table that is dropped is named with its rows; any other rollback is its SQL."""
    drop = {"write.payment_notes": 12, "write.outbox": MANY_ROWS}
    assert str(Undo("003", "DROP TABLE …", drop)) == (
        f"003: drops write.payment_notes (12 rows), write.outbox ({MANY_ROWS} rows or more)"
    )
    assert str(Undo("006", "DROP INDEX write.x;", {})) == "006: DROP INDEX write.x;"
