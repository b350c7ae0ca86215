"""The payment writer's core: payments, their wire format, the consuming loop and its ports.

Docstrings name the guarantees: G1 exactly-once effect, G2 no lost event, G3 order, G4 a bad message
affects only itself, G5 an infrastructure failure loses nothing, G6 every record has one outcome,
G7 ids never collide.
"""

from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec, Topics
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.dead_letters import DeadLetter
from voltpay_core.errors import Fenced, Misconfigured, Rejected, Unavailable
from voltpay_core.events import EmailEvent, PaymentEvent, ReadEvent
from voltpay_core.ids import PaymentId, PaymentIdGenerator
from voltpay_core.notices import (
    BatchDecoded,
    BatchDone,
    Idle,
    Notice,
    Observer,
    Polled,
    Published,
    RejectionsCounted,
    Retrying,
    TakenOver,
    UnitCommitted,
    to_all,
)
from voltpay_core.outcomes import Tally
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.purging import purge
from voltpay_core.rebuilding import rebuild
from voltpay_core.records import Partition, ProducerRecord, Record
from voltpay_core.replaying import replay
from voltpay_core.subscribing import Batch, Subscription

__all__ = [
    "Batch",
    "BatchDecoded",
    "BatchDone",
    "Breaker",
    "Codec",
    "DeadLetter",
    "EmailEvent",
    "Fenced",
    "Idle",
    "Misconfigured",
    "NewPayment",
    "Notice",
    "Observer",
    "Partition",
    "Payment",
    "PaymentConsumer",
    "PaymentEvent",
    "PaymentId",
    "PaymentIdGenerator",
    "Polled",
    "ProducerRecord",
    "Published",
    "ReadEvent",
    "Record",
    "Rejected",
    "RejectionsCounted",
    "Retrying",
    "Status",
    "Subscription",
    "TakenOver",
    "Tally",
    "Topics",
    "Unavailable",
    "UnitCommitted",
    "purge",
    "rebuild",
    "replay",
    "to_all",
]
