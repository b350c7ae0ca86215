"""The payment writer's core: payments, their wire format, the consuming loop and its ports.

Docstrings name the guarantees: G1 exactly-once effect, G2 no lost event, G3 order, G4 a bad message
affects only itself, G5 an infrastructure failure loses nothing, G6 every record has one outcome,
G7 ids never collide.
"""

from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec, Topics
from voltpay_core.consuming import BatchDone, Notice, PaymentConsumer, TakenOver, Tally
from voltpay_core.errors import Fenced, Misconfigured, Rejected, Unavailable
from voltpay_core.events import EmailEvent, PaymentEvent, ReadEvent
from voltpay_core.ids import PaymentId, PaymentIdGenerator
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.purging import purge
from voltpay_core.rebuilding import rebuild
from voltpay_core.records import Partition, ProducerRecord, Record
from voltpay_core.replaying import DeadLetter, replay
from voltpay_core.subscribing import Batch, Subscription

__all__ = [
    "Batch",
    "BatchDone",
    "Breaker",
    "Codec",
    "DeadLetter",
    "EmailEvent",
    "Fenced",
    "Misconfigured",
    "NewPayment",
    "Notice",
    "Partition",
    "Payment",
    "PaymentConsumer",
    "PaymentEvent",
    "PaymentId",
    "PaymentIdGenerator",
    "ProducerRecord",
    "ReadEvent",
    "Record",
    "Rejected",
    "Status",
    "Subscription",
    "TakenOver",
    "Tally",
    "Topics",
    "Unavailable",
    "purge",
    "rebuild",
    "replay",
]
