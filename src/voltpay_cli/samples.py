"""Sends sample payments to the input topic or file that the settings name."""

from __future__ import annotations

from itertools import chain
from threading import Event

from voltpay_adapters.testing.samples import Mix, samples
from voltpay_adapters.testing.sending import send
from voltpay_cli.wiring import Wiring


def send_samples(
    wiring: Wiring,
    stop: Event,
    count: int,
    seed: int,
    *,
    accounts: int,
    duplicates: float,
    poison: float,
    warm_ups: int = 0,
    rate: int | None = None,
) -> int:
    """Send sample payments, and return the number sent.

    Args:
        stop: Ends it between chunks when it is set.
        accounts: As `Mix` has it, and so are the shares of duplicates and poison.
        rate: Records a second, at most.
    """
    mix = Mix(accounts, duplicates, poison)
    records = chain(wiring.codec.warm_ups(warm_ups), samples(wiring.codec, count, seed, mix))
    with wiring.input_publisher() as publisher:
        return send(publisher, records, stop, rate=rate)
