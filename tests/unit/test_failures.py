"""What each failure of Kafka, PostgreSQL and the network stands for, and which are tried again."""

import inspect
import ssl
from contextlib import AbstractContextManager
from threading import Event

import pytest
from confluent_kafka import KafkaError, KafkaException
from kafka import errors as kafka_errors
from pg8000.exceptions import DatabaseError, InterfaceError

from voltpay_adapters.confluent.connection import is_final
from voltpay_adapters.confluent.connection import translate_errors as of_librdkafka
from voltpay_adapters.kafka.connection import translate_errors as of_kafka
from voltpay_adapters.postgres.error_mapping import translate_errors
from voltpay_adapters.retrying import backoff
from voltpay_core.errors import Fenced, Misconfigured, PaymentIdTaken, Rejected, Unavailable
from voltpay_core.records import Partition

OWNED = frozenset({Partition("payments", 0)})
RETRIED, HALTS, FENCES = "is tried again", "needs a person", "the partitions have another owner"
MISCONFIGURED, REJECTS, PASSES = "a setting is wrong", "the payment is at fault", "is no failure"

KAFKA = {
    **dict.fromkeys(
        (
            "CommitFailedError",
            "IllegalGenerationError",
            "RebalanceInProgressError",
            "UnknownMemberIdError",
        ),
        FENCES,
    ),
    **dict.fromkeys(
        (
            "AuthorizationError",
            "ClusterAuthorizationFailedError",
            "CorruptRecordError",
            "DelegationTokenAuthorizationFailedError",
            "GroupAuthorizationFailedError",
            "SaslAuthenticationFailedError",
            "TopicAuthorizationFailedError",
            "TransactionalIdAuthorizationFailedError",
            "UnsupportedCodecError",
            "UnsupportedCompressionTypeError",
            "UnsupportedSaslMechanismError",
        ),
        HALTS,
    ),
    "KafkaConfigurationError": MISCONFIGURED,
}
"""The errors of kafka-python that are not simply tried again."""

LIBRDKAFKA = {
    "_ASSIGNMENT_LOST": FENCES,
    **dict.fromkeys(("_AUTHENTICATION", "_BAD_COMPRESSION", "_BAD_MSG"), HALTS),
    "_INVALID_ARG": MISCONFIGURED,
}
"""The errors of librdkafka's own, which no broker sends, that are not simply tried again."""

UNREACHABLE = {"_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT", "_TRANSPORT"}
"""The errors of librdkafka if no broker is reached."""

CODES = {
    name: code
    for name, code in vars(KafkaError).items()
    if name.isupper() and isinstance(code, int)
}
"""The errors that librdkafka knows: those of the protocol, and below 0 its own."""

ALL_OF_KAFKA = [
    error
    for error in vars(kafka_errors).values()
    if inspect.isclass(error) and issubclass(error, kafka_errors.KafkaError)
]
OF_THE_NETWORK = [
    OSError("x"),
    ConnectionRefusedError("x"),
    ConnectionResetError("x"),
    BrokenPipeError("x"),
    TimeoutError("x"),
    ssl.SSLError("x"),
]
OF_NOBODY = [KeyboardInterrupt(), SystemExit(), GeneratorExit()]


def of_postgres(*, carries_payments: bool) -> AbstractContextManager[None]:
    return translate_errors("db", carries_payments=carries_payments)


def kind(error: BaseException, translated: AbstractContextManager[None]) -> str:
    """What an error that is raised inside becomes, in the words of the tables."""
    with pytest.raises(BaseException) as caught, translated:  # noqa: PT011 - any is looked at
        raise error
    found = caught.value
    match found:
        case Fenced():
            assert found.partitions == OWNED
            return FENCES
        case Unavailable():
            return HALTS if found.halt else RETRIED
        case Misconfigured():
            return MISCONFIGURED
        case Rejected():
            return REJECTS
    assert found is error
    return PASSES


@pytest.mark.parametrize("error", ALL_OF_KAFKA, ids=lambda error: error.__name__)
def test_an_error_of_kafka_has_one_kind(error: type[Exception]) -> None:
    """Every error that kafka-python knows is tried again, but for those of the table."""
    assert kind(error("x"), of_kafka("reading", OWNED)) == KAFKA.get(error.__name__, RETRIED)


def test_the_table_names_errors_of_kafka() -> None:
    """No row is of an error that kafka-python does not have."""
    assert set(KAFKA) <= {error.__name__ for error in ALL_OF_KAFKA}


@pytest.mark.parametrize("name", CODES)
def test_an_error_of_librdkafka_has_one_kind(name: str) -> None:
    """A broker's error is of the same kind by either client; the table has librdkafka's own."""
    error = KafkaError(CODES[name], "because of this")
    by_librdkafka = kind(KafkaException(error), of_librdkafka("reading", OWNED))
    if error.code() > 0:
        known = kafka_errors.for_code(error.code())("x")
        assert by_librdkafka == kind(known, of_kafka("reading", OWNED))
    else:
        assert by_librdkafka == LIBRDKAFKA.get(name, RETRIED)
    assert is_final(error) is (by_librdkafka == HALTS)


@pytest.mark.parametrize("name", CODES)
def test_an_error_of_librdkafka_is_told(name: str) -> None:
    """What librdkafka says comes after what was being done, and is the cause."""
    error = KafkaException(KafkaError(CODES[name], "because of this"))
    with (
        pytest.raises(Exception, match=r"because of this$") as caught,
        of_librdkafka("reading payments", OWNED),
    ):
        raise error
    doing = "options" if isinstance(caught.value, Misconfigured) else "Kafka: reading payments: "
    assert doing in str(caught.value)
    assert caught.value.__cause__ is error
    if isinstance(caught.value, Unavailable):
        assert caught.value.code == ("no-broker" if name in UNREACHABLE else "kafka")


def test_the_table_names_errors_of_librdkafka() -> None:
    """No row is of an error that librdkafka does not have."""
    assert set(LIBRDKAFKA) | UNREACHABLE <= set(CODES)


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (kafka_errors.KafkaTimeoutError("bootstrap"), "KafkaTimeoutError: bootstrap", "no-broker"),
        (kafka_errors.KafkaTimeoutError("flush"), "KafkaTimeoutError", "kafka"),
        (kafka_errors.KafkaConnectionError("bootstrap"), "KafkaConnectionError", "kafka"),
        (OSError("bootstrap"), "OSError", "kafka"),
    ],
)
def test_an_outage_of_kafka_is_named(error: Exception, words: str, code: str) -> None:
    """An outage says what was tried and what failed; that no broker is found has its own code."""
    with pytest.raises(Unavailable) as caught, of_kafka("reading payments"):
        raise error
    assert str(caught.value).startswith(f"Kafka: reading payments: {words}")
    assert caught.value.code == code
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", OF_THE_NETWORK, ids=lambda error: type(error).__name__)
def test_an_error_of_the_network_is_tried_again(error: Exception) -> None:
    """A connection that breaks heals, with Kafka, at login and between payments."""
    assert kind(error, of_kafka("reading")) == RETRIED
    assert kind(error, of_postgres(carries_payments=True)) == RETRIED
    assert kind(error, of_postgres(carries_payments=False)) == RETRIED


@pytest.mark.parametrize("error", OF_NOBODY, ids=lambda error: type(error).__name__)
def test_what_ends_a_process_ends_it(error: BaseException) -> None:
    """Interrupts and exits are no failures of anybody."""
    assert kind(error, of_kafka("reading")) == PASSES
    assert kind(error, of_postgres(carries_payments=True)) == PASSES
    assert kind(error, of_postgres(carries_payments=False)) == PASSES


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), AssertionError(), Rejected("code", "reason")]
)
def test_a_bug_around_kafka_is_no_outage(error: Exception) -> None:
    """What kafka-python does not raise comes through as it is."""
    with pytest.raises(type(error)) as caught, of_kafka("reading"):
        raise error
    assert caught.value is error


TOO_ODD = UnicodeEncodeError("latin-1", "x", 0, 1, "no such character")


@pytest.mark.parametrize(
    ("error", "of_payments", "of_logins"),
    [
        (InterfaceError("x"), RETRIED, RETRIED),
        (DatabaseError({"C": "40001"}), RETRIED, RETRIED),
        (DatabaseError({"C": "53100"}), HALTS, HALTS),
        (DatabaseError({"C": "57P03", "M": "starting up"}), RETRIED, RETRIED),
        (DatabaseError({"C": "28P01", "M": "password"}), HALTS, HALTS),
        (DatabaseError({"C": "22001"}), REJECTS, HALTS),
        (DatabaseError({"C": "23505", "t": "payment_core"}), REJECTS, HALTS),
        (DatabaseError({}), HALTS, HALTS),
        (TOO_ODD, REJECTS, RETRIED),
        (KeyError("x"), RETRIED, RETRIED),
        (ValueError("x"), RETRIED, RETRIED),
        (Misconfigured("x"), MISCONFIGURED, MISCONFIGURED),
        (Unavailable("x"), RETRIED, RETRIED),
        (Unavailable("x", halt=True), HALTS, HALTS),
    ],
)
def test_an_error_of_postgresql_has_one_kind(
    error: Exception, of_payments: str, of_logins: str
) -> None:
    """Payments can be at fault only where payments are sent; `test_sqlstates` has each SQLSTATE."""
    assert kind(error, of_postgres(carries_payments=True)) == of_payments
    assert kind(error, of_postgres(carries_payments=False)) == of_logins


@pytest.mark.parametrize("carries_payments", [True, False])
def test_an_answer_of_postgresql_is_named(carries_payments: bool) -> None:
    """A failure says which database it is of and its SQLSTATE, and keeps what caused it."""
    error = DatabaseError({"C": "42P01", "M": "no such table"})
    with pytest.raises(Unavailable) as caught, of_postgres(carries_payments=carries_payments):
        raise error
    assert str(caught.value) == "PostgreSQL at db: SQLSTATE 42P01: no such table"
    assert (caught.value.code, caught.value.__cause__) == ("database", error)


@pytest.mark.parametrize("error", [InterfaceError("gone"), OSError("gone")])
def test_a_database_out_of_reach_is_named(error: Exception) -> None:
    """A connection that breaks is told with its reason; a strange answer only by its kind."""
    with pytest.raises(Unavailable) as caught, of_postgres(carries_payments=True):
        raise error
    assert str(caught.value) == "PostgreSQL at db cannot be reached: gone"
    with pytest.raises(Unavailable) as caught, of_postgres(carries_payments=True):
        raise KeyError("canary")
    told = (
        "PostgreSQL at db sent an answer that cannot be read (KeyError): is it a PostgreSQL server?"
    )
    assert str(caught.value) == told


@pytest.mark.parametrize("sqlstate", ["22001", "23514", "23503", "P0001", "P0002"])
def test_what_may_hold_a_payment_is_not_chained(sqlstate: str) -> None:
    """PostgreSQL's words about a row are neither in a failure nor behind it."""
    with pytest.raises(Exception) as caught, of_postgres(carries_payments=True):  # noqa: PT011
        raise DatabaseError({"C": sqlstate, "n": "c", "M": "canary", "D": "canary"})
    assert isinstance(caught.value, Rejected | Unavailable)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (Unavailable("x"), 2),
        (Unavailable("x", halt=True), 1),
        (Fenced(OWNED, "x"), 1),
        (Misconfigured("x"), 1),
        (Rejected("code", "x"), 1),
        (PaymentIdTaken("code", "x"), 1),
        (TimeoutError("x"), 1),
        (ConnectionResetError("x"), 1),
    ],
)
def test_only_an_outage_that_may_heal_is_tried_again(error: Exception, calls: int) -> None:
    """`Unavailable` without halt is tried again, and nothing else, network errors included."""
    made: list[int] = []

    def step() -> None:
        made.append(1)
        if len(made) == 1:
            raise error

    policy = backoff(60, Event(), longest=0)
    if calls == 1:
        with pytest.raises(type(error)):
            policy(step)
    else:
        policy(step)
    assert len(made) == calls
