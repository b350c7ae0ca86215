"""A bad record hurts only itself, whatever is bad about it."""

from __future__ import annotations

import json
from itertools import chain

from attrs import evolve
from tests.harness.deployment import MIX, SEED, Deployment
from tests.harness.history import read_topic

from voltpay_adapters.testing.samples import samples
from voltpay_core.codec import CODE_HEADER, Codec
from voltpay_core.records import ProducerRecord, last_header

KIND = "kind-of-poison"
GOOD = {
    "messageId": "m",
    "accountId": 5,
    "amount": "12.50",
    "currency": "EUR",
    "status": 2,
    "type": "VSA",
}


def stating(**fields: object) -> bytes:
    return json.dumps(GOOD | fields).encode()


def amounting(digits: str) -> bytes:
    return json.dumps(GOOD).replace('"12.50"', digits).encode()


VALUES = {
    "cut in the middle": (stating()[:-9], "bad-json"),
    "empty": (b"", "bad-json"),
    "a list": (b"[1, 2]", "bad-json"),
    "a scalar": (b"17", "bad-json"),
    "a byte order mark": (b"\xef\xbb\xbf" + stating(), "bad-json"),
    "100 000 deep": (b"[" * 100_000 + b"]" * 100_000, "bad-json"),
    "a tombstone": (None, "no-value"),
    "bad UTF-8": (stating(comment="?").replace(b"?", b"\xff"), "bad-text"),
    "a NUL": (stating(comment="\x00"), "bad-text"),
    "a lone surrogate": (stating(comment="\ud800"), "bad-text"),
    "5 000 digits": (amounting("9" * 5000), "invalid-field"),
    "5 000 digits after the point": (amounting("1." + "9" * 5000), "invalid-field"),
    "an account of 5 000 digits": (
        stating(accountId="?").replace(b'"?"', b"9" * 5000),
        "invalid-field",
    ),
    "not a number": (amounting('"NaN"'), "invalid-field"),
    "no JSON number": (amounting("NaN"), "bad-json"),
    "infinite": (amounting('"Infinity"'), "invalid-field"),
    "an amount of lists": (stating(amount=[1]), "invalid-field"),
    "a message id of numbers": (stating(messageId=7), "invalid-field"),
    "a currency of null": (stating(currency=None), "invalid-field"),
    "half a megabyte": (stating(comment="x" * 600_000), "too-large"),
}
KEYS = {
    "no key": (None, "key-missing"),
    "an empty key": (b"", "key-missing"),
    "another's key": (b"6", "key-mismatch"),
    "a key of bytes": (b"\xff\x00", "key-mismatch"),
}
CODES = {kind: code for kind, (_, code) in (VALUES | KEYS).items()}


def poison() -> list[ProducerRecord]:
    """A record of each kind, which says so in a header."""
    bad = ProducerRecord(Codec().topics.writer, b"5", stating())
    return [
        *(
            evolve(bad, value=v, headers=((KIND, kind.encode()),))
            for kind, (v, _) in VALUES.items()
        ),
        *(evolve(bad, key=k, headers=((KIND, kind.encode()),)) for kind, (k, _) in KEYS.items()),
    ]


def test_poison_among_good_neighbours(deployment: Deployment) -> None:
    """Each bad record alone becomes a dead letter with the right code, wherever it stands."""
    deployment.settings = {**deployment.settings, "limits.value_bytes": 500_000}
    deployment.write_settings()
    bad = poison()
    good = samples(Codec(), 20 * len(bad), SEED, evolve(MIX, poison=0.0))
    mixed = chain.from_iterable((*(next(good) for _ in range(20)), record) for record in bad)
    topic = deployment.topics.writer
    deployment.publish(evolve(record, topic=topic) for record in mixed)
    deployment.drain()
    letters = read_topic(deployment.group.servers, deployment.topics.dead_letter)
    codes = {
        (last_header(letter.headers, KIND) or b"").decode(): (
            last_header(letter.headers, CODE_HEADER) or b""
        ).decode()
        for letter in letters
    }
    assert codes == CODES
    assert deployment.violations(codec=Codec(deployment.topics, max_value_bytes=500_000)) == []
