"""`voltpay events rebuild` on files and SQLite: what it prints and how it ends."""

import json
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen
from tests.harness.cli import LOCAL, voltpay
from typer.testing import CliRunner

from voltpay_adapters.local.files import read_events
from voltpay_cli.app import app
from voltpay_cli.wiring import Wiring
from voltpay_core.codec import EVENT_ID_HEADER
from voltpay_core.ports import EventPublisher, Publication
from voltpay_core.records import ProducerRecord

pytestmark = pytest.mark.usefixtures("folder")

FLAGS = ("--store", "sqlite:voltpay.db", "--events", "file:again")


def consumed(count: int) -> None:
    """Produce and consume that many payments."""
    voltpay("produce", "--source", "file:in.jsonl", "--count", str(count), "--seed", "1")
    assert voltpay("consume", *LOCAL).exit_code == 0


def events(folder: str) -> list[ProducerRecord]:
    """The read events of a folder."""
    path = Path(folder, "payment_read_topic.jsonl")
    return read_events(path) if path.exists() else []


def ids(folder: str) -> list[str]:
    return [(dict(event.headers)[EVENT_ID_HEADER] or b"").decode() for event in events(folder)]


def rebuilt(*flags: str, code: int = 0) -> str:
    result = voltpay("events", "rebuild", *FLAGS, *flags)
    assert result.exit_code == code, result.output
    return result.stdout


def test_without_yes_it_only_counts() -> None:
    """A dry run is the default: it counts the events and publishes none."""
    consumed(5)
    assert rebuilt() == (
        "would publish 5 read events\n"
        "nothing was published: this was a dry run; --yes publishes them\n"
    )
    assert not Path("again").exists()


def test_all_read_events_are_published_and_no_email() -> None:
    """With --yes each payment has its read event again, under its event id."""
    consumed(50)
    assert rebuilt("--yes") == "published 50 read events\n"
    assert sorted(ids("again")) == sorted(ids("out"))
    assert [path.name for path in Path("again").iterdir()] == ["payment_read_topic.jsonl"]
    for event in events("again"):
        value = json.loads(event.value or b"")
        assert value["messageId"] == f"rebuilt:{value['id']}:1"
        assert event.key == str(value["accountId"]).encode()


def test_a_program_reads_the_result_as_json() -> None:
    """--output json gives the counts, and the flags of the rest where there is one."""
    consumed(2)
    flags = ("--output", "json")
    assert json.loads(rebuilt(*flags)) == {"events": 2, "dry_run": True}
    assert json.loads(rebuilt(*flags, "--yes")) == {
        "events": 2,
        "dry_run": False,
        "finished": True,
        "rest": None,
    }


def test_a_rebuild_leaves_an_audit_line() -> None:
    """The log has who published events again, and with which flags; a dry run leaves no line."""
    consumed(1)
    assert "audit: " not in voltpay("events", "rebuild", *FLAGS).stderr
    told = voltpay("events", "rebuild", *FLAGS, "--yes").stderr
    assert "voltpay events rebuild" in told.partition("audit: ")[2]


def test_a_range_is_of_times_and_ids() -> None:
    """--from and --to are times of payments, and --after is the id of one."""
    consumed(10)
    created = json.loads(events("out")[0].value or b"")["createdAt"]
    assert rebuilt("--from", "2100-01-01").startswith("would publish 0 ")
    assert rebuilt("--to", "2020-01-01T00:00").startswith("would publish 0 ")
    assert rebuilt("--to", "9999-12-31T23:59:59.999999").startswith("would publish 10 ")
    assert rebuilt("--from", created).startswith("would publish 10 ")
    assert rebuilt("--to", created).startswith("would publish 0 ")
    last = max(name.split(":")[0] for name in ids("out"))
    assert rebuilt("--after", last.lower()).startswith("would publish 0 ")
    assert rebuilt("--after", min(ids("out")).split(":")[0], "--yes") == "published 9 read events\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--from", "yesterday"), "--from: needs a date or a time, in UTC unless it has a zone"),
        (("--to", "2026-13-01"), "--to: needs a date or a time"),
        (("--from", "0001-01-01T00:00+14:00"), "--from: needs a date or a time"),
        (("--after", "7"), "--after: a payment id has the form ULID-NNN"),
    ],
)
def test_a_wrong_range_is_reported(flags: tuple[str, ...], told: str) -> None:
    """A time or an id of another form ends with 78 and shows a correct one."""
    result = voltpay("events", "rebuild", *FLAGS, *flags)
    assert result.exit_code == 78
    assert told in result.stderr


def test_a_missing_store_is_not_created() -> None:
    """A database file that does not exist is an outage, and stays away."""
    rebuilt(code=69)
    assert not Path("voltpay.db").exists()


class StoppedSoon(Wiring):
    """A wiring whose process gets SIGTERM while its first events are published."""

    @contextmanager
    def event_publisher(self) -> Iterator[EventPublisher]:
        with super().event_publisher() as publisher:
            yield Stopping(publisher)


@frozen
class Stopping:
    _publisher: EventPublisher

    def publish(self, records: Sequence[ProducerRecord]) -> Publication:
        signal.raise_signal(signal.SIGTERM)
        return self._publisher.publish(records)

    def reset(self) -> None:
        self._publisher.reset()

    def close(self) -> None:
        self._publisher.close()


def test_a_stopped_rebuild_says_how_to_continue() -> None:
    """SIGTERM ends a rebuild with 75, and the flags that it prints publish the rest."""
    consumed(30)
    flags = ("events", "rebuild", *FLAGS, "--yes", "--rate", "10")
    stopped = CliRunner().invoke(app, flags, obj=StoppedSoon)
    assert stopped.exit_code == 75
    published, how = stopped.stdout.splitlines()
    assert published == "published 10 read events"
    assert ids("again") == sorted(ids("out"))[:10]
    rebuilt("--yes", *shlex.split(how.removeprefix("to continue: ")))
    assert ids("again") == sorted(ids("out"))


def test_an_outage_says_how_to_continue() -> None:
    """If events cannot be published, the command ends with 69 and says where to continue."""
    consumed(1)
    Path("again/payment_read_topic.jsonl").mkdir(parents=True)
    published, how = rebuilt("--yes", code=69).splitlines()
    assert published == "published 0 read events"
    assert how.startswith("to continue: --from 1970-01-01T00:00:00.000Z --to 20")
