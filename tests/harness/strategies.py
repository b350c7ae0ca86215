"""Everything that may come down the topic, as Hypothesis strategies."""

from __future__ import annotations

import json
from decimal import Decimal

from attrs import evolve, frozen
from hypothesis import strategies as st

from voltpay_core.codec import Codec
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Headers, Partition, Record

# What producers write


def account_fields(account_id: int) -> st.SearchStrategy[list[tuple[str, str]]]:
    """The account under either name, or under both."""
    number = json.dumps(account_id)
    return st.sampled_from(
        (
            [("accountId", number)],
            [("custId", number)],
            [("accountId", number), ("custId", number)],
            [("accountId", "null"), ("custId", number)],
        )
    )


def amount_texts(amount: Decimal) -> st.SearchStrategy[str]:
    """An amount as a number or a string, with or without an exponent."""
    plain = format(amount, "f")
    scientific = f"{amount:E}"
    return st.sampled_from((plain, f'"{plain}"', scientific, f'"{scientific}"'))


def optional_fields(name: str, value: str | None) -> st.SearchStrategy[list[tuple[str, str]]]:
    """A field with its value; one without is absent, null or empty."""
    if value is not None:
        return st.just([(name, json.dumps(value))])
    return st.sampled_from(([], [(name, "null")], [(name, '""')]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
unknown_fields = st.dictionaries(
    st.sampled_from(("AMOUNT", "amount ", "id", "createdAt", "version", "x", "ünknown", "")),
    json_values,
    max_size=3,
).map(lambda fields: [(name, json.dumps(value)) for name, value in fields.items()])


@st.composite
def statements(draw: st.DrawFn, payment: NewPayment) -> bytes:
    """The JSON by which some producer states this payment: in any order, with what is ignored."""
    fields = [
        ("messageId", json.dumps(payment.message_id)),
        ("amount", draw(amount_texts(payment.amount))),
        ("currency", json.dumps(payment.currency)),
        ("status", str(payment.status.value)),
        ("type", json.dumps(payment.type)),
        *draw(account_fields(payment.account_id)),
        *draw(optional_fields("comment", payment.comment)),
        *draw(optional_fields("externalRefId", payment.external_ref_id)),
        *draw(unknown_fields),
    ]
    overruled = [
        (name, text)
        for name, text in (("messageId", '"earlier"'), ("amount", "1"), ("status", "0"))
        if draw(st.booleans())
    ]
    space = draw(st.sampled_from(("", " ", "\n\t")))
    members = [*overruled, *draw(st.permutations(fields))]
    body = f",{space}".join(f"{json.dumps(name)}{space}:{space}{text}" for name, text in members)
    return f"{space}{{{space}{body}{space}}}{space}".encode()


# What nobody should write


@frozen
class Poison:
    """A record that becomes a dead letter, and with which code."""

    name: str
    code: str
    value: bytes | None
    key: bytes | None = b"1"


def _broken(name: str, code: str, **fields: object) -> Poison:
    """A good payment of account 1 with one thing wrong; None leaves the field out."""
    good: dict[str, object] = {
        "messageId": "poison",
        "accountId": 1,
        "amount": 1,
        "currency": "EUR",
        "status": 2,
        "type": "VSA",
    }
    stated = {field: value for field, value in (good | fields).items() if value is not None}
    return Poison(name, code, json.dumps(stated).encode())


def _raw(name: str, code: str, field: str, text: str) -> Poison:
    """A good payment of account 1, one of whose fields is this very JSON."""
    mark = "<here>"
    value = _broken(name, code, **{field: mark}).value or b""
    return Poison(name, code, value.replace(json.dumps(mark).encode(), text.encode()))


POISON = (
    Poison("tombstone", "no-value", None),
    Poison("empty", "bad-json", b""),
    Poison("words", "bad-json", b"hello"),
    Poison("half", "bad-json", b'{"messageId": "m"'),
    Poison("two objects", "bad-json", b"{}{}"),
    Poison("array", "bad-json", b"[]"),
    Poison("scalar", "bad-json", b"1"),
    Poison("null", "bad-json", b"null"),
    Poison("byte order mark", "bad-json", b"\xef\xbb\xbf{}"),
    Poison("UTF-16", "bad-json", '{"messageId": "m"}'.encode("utf-16")),
    Poison("Latin-1", "bad-text", '{"messageId": "é"}'.encode("latin-1")),
    Poison("deep", "bad-json", b'{"x":' * 100_000),
    Poison("long", "too-large", b" " * (1024 * 1024 + 1)),
    _broken("no message id", "invalid-field", messageId=None),
    _broken("empty message id", "invalid-field", messageId=""),
    _broken("long message id", "invalid-field", messageId="m" * 256),
    _broken("dead message id", "invalid-field", messageId="dead:m"),
    _broken("numeric message id", "invalid-field", messageId=1),
    _broken("NUL in message id", "bad-text", messageId="a\0b"),
    _raw("lone surrogate", "bad-text", "messageId", r'"a\ud800b"'),
    _broken("no account", "invalid-field", accountId=None),
    _broken("negative account", "invalid-field", accountId=-1),
    _broken("large account", "invalid-field", accountId=2**63),
    _broken("account as text", "invalid-field", accountId="1"),
    _raw("account as float", "invalid-field", "accountId", "1.0"),
    _raw("endless account", "invalid-field", "accountId", "9" * 5000),
    _broken("two accounts", "invalid-field", custId=2),
    _broken("no amount", "invalid-field", amount=None),
    _raw("null amount", "invalid-field", "amount", "null"),
    _broken("zero", "invalid-field", amount=0),
    _broken("negative amount", "invalid-field", amount=-1),
    _broken("amount NaN", "invalid-field", amount="NaN"),
    _broken("amount Infinity", "invalid-field", amount="Infinity"),
    _raw("bare NaN", "bad-json", "amount", "NaN"),
    _raw("hexadecimal amount", "bad-json", "amount", "0x10"),
    _broken("amount in words", "invalid-field", amount="one"),
    _broken("amount with a comma", "invalid-field", amount="1,5"),
    _broken("amount with underscores", "invalid-field", amount="1_0"),
    _broken("amount in Arabic digits", "invalid-field", amount="\u0661"),
    _broken("amount list", "invalid-field", amount=[1]),
    _raw("amount too fine", "invalid-field", "amount", "0.0000001"),
    _raw("amount too large", "invalid-field", "amount", "100000000000000"),
    _raw("huge exponent", "invalid-field", "amount", "1e9999"),
    _raw("tiny exponent", "invalid-field", "amount", "1e-9999"),
    _raw("endless exponent", "invalid-field", "amount", "1e99999999999999999999"),
    _raw("endless amount", "invalid-field", "amount", "9" * 5000),
    _broken("no currency", "invalid-field", currency=None),
    _broken("small currency", "invalid-field", currency="eur"),
    _broken("long currency", "invalid-field", currency="EURO"),
    _broken("Greek currency", "invalid-field", currency="ΕUR"),  # noqa: RUF001 - that is the point
    _broken("no status", "invalid-field", status=None),
    _broken("unknown status", "invalid-field", status=1),
    _broken("status as text", "invalid-field", status="2"),
    _broken("status as bool", "invalid-field", status=True),
    _broken("no type", "invalid-field", type=None),
    _broken("long type", "invalid-field", type="VISA"),
    _broken("small type", "invalid-field", type="vsa"),
    _broken("long comment", "invalid-field", comment="c" * 301),
    _broken("NUL in comment", "bad-text", comment="\0"),
    _broken("long reference", "invalid-field", externalRefId="r" * 201),
    _broken("object as comment", "invalid-field", comment={}),
    evolve(_broken("no key", "key-missing"), key=None),
    evolve(_broken("empty key", "key-missing"), key=b""),
    evolve(_broken("foreign key", "key-mismatch"), key=b"2"),
    evolve(_broken("padded key", "key-mismatch"), key=b"01"),
)


# Histories


TOPIC = "payment_writer_topic"
PARTITIONS = 2
REFUSED = 13
"""The account whose payments a database that is told so rejects."""

headers = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("traceparent", "correlation-id", "x", "voltpay-dlq-attempt"),
                *("voltpay-dlq-code", "__connect.errors.topic", "__connect.errors.class.name"),
            )
        ),
        st.sampled_from((b"1", b"", b"\xff", b"a" * 600, None)),
    ),
    max_size=3,
).map(tuple)


def _record(partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
    """A record without its place, which the log gives it."""
    return Record(Partition(TOPIC, partition), 0, 1_700_000_000_000, key, value, headers)


@st.composite
def payment_records(
    draw: st.DrawFn, *, own_ids: bool = False, refused: bool = False, astray: bool = False
) -> Record:
    """A record of a good payment, out of so few message ids that some come again.

    With `own_ids` no two accounts share a message id; with `astray` a key may be on any partition.
    """
    account_id = draw(st.sampled_from((1, 2, 3, REFUSED) if refused else (1, 2, 3)))
    number = draw(st.integers(0, 9))
    payment = NewPayment(
        message_id=f"{account_id}-{number}" if own_ids else f"m{number}",
        account_id=account_id,
        amount=Decimal(draw(st.integers(1, 10**6))).scaleb(-2),
        currency="EUR",
        status=draw(st.sampled_from(Status)),
        type="VSA",
        comment=draw(st.sampled_from((None, "a comment"))),
    )
    partition = draw(st.integers(0, PARTITIONS - 1)) if astray else account_id % PARTITIONS
    return _record(
        partition, str(account_id).encode(), Codec().encode_payment(payment), draw(headers)
    )


def poison_records() -> st.SearchStrategy[Record]:
    """Records that become dead letters, but the long ones."""
    short = [poison for poison in POISON if len(poison.value or b"") < 10_000]
    return st.builds(
        lambda poison, headers: _record(1, poison.key, poison.value, headers),
        st.sampled_from(short),
        headers,
    )


warm_up_records = st.builds(
    _record,
    st.integers(0, PARTITIONS - 1),
    st.none() | st.just(b"1"),
    st.just(b"{}"),
    headers,
) | st.builds(
    lambda value: _record(0, None, value, (("voltpay-warmup", b""),)),
    st.sampled_from((None, b"", b"{}", b'{"messageId": "m"}')),
)


def histories(
    *, own_ids: bool = False, refused: bool = False, astray: bool = False, longest: int = 25
) -> st.SearchStrategy[list[Record]]:
    """What a topic may hold: good payments, some again, poison and warm-ups among them."""
    good = payment_records(own_ids=own_ids, refused=refused, astray=astray)
    return st.lists(
        st.one_of(good, good, good, good, poison_records(), warm_up_records), max_size=longest
    )


batch_sizes = st.sampled_from((1, 2, 3, 7, 1000))
commit_units = st.sampled_from((1, 2, None))
