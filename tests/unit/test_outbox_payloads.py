"""The payload of an outbox row in PostgreSQL: compressed, and read back in either form."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness import released

from voltpay_adapters.postgres.stores import compress, decompress
from voltpay_core.codec import pack, unpack
from voltpay_core.records import ProducerRecord

EVENTS = st.lists(
    st.builds(ProducerRecord, st.text(), st.none() | st.binary(), st.none() | st.binary())
)

TWO_EVENTS = [
    ProducerRecord("read", b"42", b'{"id": "a"}', (("event-id", b"a:1:read"), ("trace", None)), 3),
    ProducerRecord("dlq", None, None, timestamp=1764000000000, partition=0),
]
THEIR_ROWS = {
    "before it was compressed": bytes.fromhex(
        "9286a7686561646572739292a86576656e742d6964c408613a313a7265616492a57472616365c0a36b6579c4"
        "023432a9706172746974696f6e03a974696d657374616d70c0a5746f706963a472656164a576616c7565c40b"
        "7b226964223a202261227d86a76865616465727390a36b6579c0a9706172746974696f6e00a974696d657374"
        "616d70cf0000019ab697e800a5746f706963a3646c71a576616c7565c0"
    ),
    "0.1.0": bytes.fromhex(
        "28b52ffd20a1550400e2871e2690391dffdb0b9f778dad36c23bfb3ee30993965ceb262220d4443033f3812e"
        "cfeb4cb4f516edf394a3955c387bb50ba41201b46669d37a733d1a4e5de1b965c72064a71cade4eaa1846129"
        "6a39a5477bfac38d09a0889b1baa84211281cc7a73cd330a5bc6d5c377783ac8960d0dbd3a25c6097ef58a89"
        "230604004e1807fb1ab16b2c8b6006"
    ),
}
"""What each version has stored for these two events."""


@pytest.mark.parametrize("row", THEIR_ROWS.values(), ids=THEIR_ROWS)
def test_rows_of_every_version_are_read(row: bytes) -> None:
    """The events that any earlier version has left in the outbox are published unchanged."""
    assert unpack(decompress(row)) == TWO_EVENTS


@given(EVENTS)
def test_the_last_release_reads_the_rows_of_today(events: list[ProducerRecord]) -> None:
    """The events that this version leaves in the outbox can be published by the last release."""
    assert released.unpack(released.decompress(compress(pack(events)))) == events


@given(EVENTS)
def test_events_are_read_back(events: list[ProducerRecord]) -> None:
    """Packed events come back byte by byte, whether their row was compressed or not."""
    packed = pack(events)
    assert decompress(compress(packed)) == packed
    assert decompress(packed) == packed


def test_events_that_resemble_one_another_take_a_fraction() -> None:
    """Fifty events of the usual kind take less than a third of their bytes."""
    packed = pack([ProducerRecord("t", b"%d" % n, b'{"messageId": "%d"}' % n) for n in range(50)])
    assert len(compress(packed)) < len(packed) / 3


def test_writers_of_one_process_compress_at_once() -> None:
    """Rows that several threads compress and read at the same time stay their own."""
    rows = [pack([ProducerRecord(f"t{n}", b"k" * n, b"v" * 50_000)]) for n in range(200)]
    with ThreadPoolExecutor(4) as threads:
        kept = list(threads.map(lambda row: decompress(compress(row)), rows))
    assert kept == rows
