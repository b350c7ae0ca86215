"""The payload of an outbox row in PostgreSQL: compressed, and read back in either form."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.postgres.stores import compress, decompress
from voltpay_core.codec import pack
from voltpay_core.records import ProducerRecord

EVENTS = st.lists(
    st.builds(ProducerRecord, st.text(), st.none() | st.binary(), st.none() | st.binary())
)


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
