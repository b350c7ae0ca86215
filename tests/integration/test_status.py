"""`voltpay status` and `voltpay observe` on real Kafka and real PostgreSQL."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from signal import SIGTERM
from typing import Any
from urllib.request import urlopen

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from prometheus_client.parser import text_string_to_metric_families
from tests.harness import canary
from tests.harness.cli import voltpay
from tests.harness.databases import Database
from tests.harness.deployment import Deployment, Program, eventually
from tests.harness.history import read_topic
from tests.harness.stack.kafka import KafkaAddress, KafkaCluster

from voltpay_adapters.postgres.inspection import PAYMENT_TABLES
from voltpay_cli.settings.loading import load
from voltpay_cli.snapshots import newest_dead_letters
from voltpay_cli.wiring import Wiring
from voltpay_core.codec import Codec

by_either_client = pytest.mark.parametrize(
    "deployment", ["kafka-python", "confluent"], indirect=True
)
HOUR, DAY = 3600, 86_400
AWAY = {"VOLTPAY_SOURCE": "kafka://127.0.0.1:1", "VOLTPAY_STORE": "postgresql://u@127.0.0.1:1/d"}
IMPATIENT = ("-X", "bootstrap_timeout_ms=500")
OLD = """
INSERT INTO write.outbox (topic, partition, payload, created_at)
VALUES ('in', 0, '', now() - interval '1 hour'), ('in', 1, '', now());
INSERT INTO write.idempotency
VALUES ('old', now() - interval '10 days'), ('new', now());
"""
MANY = """
INSERT INTO write.idempotency
SELECT md5(n::text), now() - make_interval(secs => n) FROM generate_series(1, 200000) AS n
"""


@pytest.fixture
def deployment(
    request: pytest.FixtureRequest,
    kafka: KafkaAddress,
    migrated_database: Database,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """A deployment whose topics are not made yet."""
    settings = {"kafka.client": getattr(request, "param", "kafka-python")}
    with closing(
        Deployment(kafka, migrated_database, tmp_path, partitions=4, settings=settings)
    ) as deployment:
        deployment.write_settings()
        yield deployment


def command(
    deployment: Deployment, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None
) -> str:
    result = voltpay(*arguments, "--config", str(deployment.folder / "voltpay.toml"), env=env)
    assert result.exit_code == code, result.output
    return result.stdout


def status(deployment: Deployment, *flags: str, **env: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        command(deployment, "status", "--output", "json", *flags, env=env)
    )
    return found


def codes(found: Mapping[str, Any]) -> set[str]:
    return {problem["code"] for problem in found["problems"]}


@by_either_client
def test_from_nothing_to_a_running_writer(deployment: Deployment) -> None:
    """Missing topics, a backlog without a writer, its end, and a writer that owns everything."""
    found = status(deployment)
    assert "no-topic" in codes(found)
    assert (found["group"], found["dead_letters"]) == (None, None)
    assert found["store"]["outbox_rows"] == 0
    assert set(found["store"]["months_ahead"]) == set(PAYMENT_TABLES)

    command(deployment, "topics", "create")
    deployment.feed(300)
    with closing(deployment.admin()) as admin:
        ends = deployment.group.ends(admin)
    eventually(lambda: status(deployment)["group"])  # the first group of a cluster takes its time
    found = status(deployment)
    assert codes(found) == {"no-member"}
    assert found["group"]["members"] == []
    assert found["group"]["unowned"] == [0, 1, 2, 3]
    assert found["group"]["lag_by_partition"] == {
        str(partition.number): end for partition, end in ends.items()
    }
    assert found["group"]["lag"] == sum(ends.values()) > 300 - 1
    assert found["rate"] == {"produced": 0.0, "acknowledged": 0.0}
    assert found["store"]["oldest_claim_seconds"] == 0

    deployment.drain()
    found, letters = status(deployment), deployment.letter_codes()
    assert found["group"]["lag"] == 0
    assert 0 < found["store"]["oldest_claim_seconds"] < 60
    assert found["dead_letters"]["retained"] == letters.total() > 0
    assert found["dead_letters"]["by_code"] == letters
    assert sum(sum(each.values()) for each in found["dead_letters"]["by_hour"].values()) == (
        letters.total()
    )

    deployment.consume(7)
    eventually(lambda: status(deployment)["group"]["unowned"] == [])
    found = status(deployment)
    assert (found["verdict"], found["problems"]) == ("ok", [])
    (member,) = found["group"]["members"]
    assert member["partitions"] == [0, 1, 2, 3]
    assert found["store"]["node_ids"] == [7]
    assert command(deployment, "status").startswith("OK: no record waits\n")


def test_what_is_late_is_a_problem(deployment: Deployment) -> None:
    """An old outbox row, an old claim and a missing month are reported with their ages."""
    command(deployment, "topics", "create")
    deployment.rows(OLD)
    (month,) = {
        each
        for (each,) in deployment.rows(
            "SELECT max(child.relname) FROM pg_inherits JOIN pg_class AS child"
            " ON child.oid = inhrelid WHERE inhparent = 'write.payment_notes'::regclass"
        )
    }
    before = status(deployment)["store"]["months_ahead"]
    deployment.rows(f'DROP TABLE write."{month}"')
    found = status(deployment)
    assert codes(found) >= {"no-member", "outbox-waits", "claims-not-purged"}
    store = found["store"]
    assert store["outbox_rows"] == 2
    assert HOUR < store["outbox_oldest_seconds"] < HOUR + 60
    assert 10 * DAY < store["oldest_claim_seconds"] < 10 * DAY + 60
    assert store["clock_difference_seconds"] < 5
    assert store["months_ahead"] == {**before, "payment_notes": before["payment_notes"] - 1}
    shown = command(deployment, "status")
    assert "claims: the oldest claim is 10 days old, and 7 are kept; voltpay idempotency" in shown
    assert "outbox        2 rows wait, the oldest for 60." in shown


def test_the_oldest_of_many_claims_is_estimated(deployment: Deployment) -> None:
    """Of a large table a part is read: the age is almost right, and the same every time."""
    deployment.rows(MANY)
    (pages,) = deployment.rows("SELECT pg_relation_size('write.idempotency') / 8192")[0]
    assert pages > 1500
    first, second = (status(deployment)["store"]["oldest_claim_seconds"] for _ in range(2))
    assert 200_000 * 0.99 < first < 200_060
    assert 0 < second - first < 60


def test_a_part_that_is_away_hides_no_other(deployment: Deployment) -> None:
    """Without Kafka the database is shown, without the database Kafka, without both the code."""
    command(deployment, "topics", "create")
    source, store = (dict([each]) for each in AWAY.items())
    found = status(deployment, *IMPATIENT, **source)
    assert (found["group"], found["dead_letters"]) == (None, None)
    assert found["store"]["outbox_rows"] == 0
    assert [each["name"] for each in found["problems"]] == ["broker", "group", "dead-letters"]
    found = status(deployment, **store)
    assert found["store"] is None
    assert found["group"]["lag"] == 0
    assert {each["name"] for each in found["problems"]} == {"database", "store", "group"}
    command(deployment, "status", *IMPATIENT, code=69, env=AWAY)


@by_either_client
def test_what_kafka_forbids_is_named(deployment: Deployment, kafka_cluster: KafkaCluster) -> None:
    """A user who may not describe the group learns so, and sees everything else."""
    deployment.kafka = kafka_cluster
    deployment.write_settings()
    command(deployment, "topics", "create")
    group = ResourcePattern(ResourceType.GROUP, deployment.group.name)
    denied = ACL("User:ANONYMOUS", "*", ACLOperation.DESCRIBE, ACLPermissionType.DENY, group)
    with closing(deployment.admin()) as admin:
        admin.create_acls([denied])
        eventually(lambda: status(deployment)["group"] is None)
        found = status(deployment)
        admin.delete_acls([denied])
    (problem,) = found["problems"]
    assert problem["name"] == "group"
    assert "authorization" in problem["message"].lower()
    assert found["dead_letters"]["retained"] == found["store"]["outbox_rows"] == 0


@by_either_client
def test_the_newest_letters_of_each_partition_are_read(deployment: Deployment) -> None:
    """A bounded look at dead letters skips the older ones, and reads at most its number."""
    command(deployment, "topics", "create")
    deployment.feed(400)
    deployment.drain()
    wiring = Wiring(settings=load({}, str(deployment.folder / "voltpay.toml")).settings)
    topic = deployment.topics.dead_letter
    records = list(read_topic(deployment.kafka.bootstrap, topic))
    ends = {record.partition: record.offset + 1 for record in records}
    expected = {
        f"{record.partition}@{record.offset}"
        for record in records
        if record.offset >= ends[record.partition] - 2
    }
    read = [letter.location for letter in newest_dead_letters(wiring, 2 * 4 + 3)]
    assert len(records) > len(read)
    assert sorted(read) == sorted(expected)


def test_a_watcher_sees_the_rate(deployment: Deployment) -> None:
    """Reports come until it is stopped; what is produced between two of them is in the rate."""
    command(deployment, "topics", "create")
    watching = deployment.start("status", "--watch", "--every", "1", "--output", "json")

    def reports() -> list[dict[str, Any]]:
        return [json.loads(line) for line in watching.printed().split("\n")[:-1] if line[:1] == "{"]

    watching.wait_for(lambda: bool(reports()), seconds=60)
    deployment.feed(200)
    watching.wait_for(lambda: any(each["rate"]["produced"] for each in reports()), seconds=60)
    assert reports()[-1]["group"]["lag"] >= 200
    watching.end(SIGTERM)
    assert watching.exit_code() == 0


def observe(deployment: Deployment, *flags: str, **settings: str) -> tuple[Program, str]:
    """A running observer, and its URL."""
    observer = deployment.start(
        "observe", "--listen", "127.0.0.1:0", "--every", "1", *flags, **settings
    )
    found = re.compile(r"http://\S+(?=/metrics)")
    observer.wait_for(lambda: bool(found.search(observer.printed())), seconds=60)
    (url,) = found.findall(observer.printed())
    return observer, url


def scrape(url: str) -> dict[tuple[str, str], float]:
    """The value of each metric and label."""
    families = text_string_to_metric_families(fetched(f"{url}/metrics"))
    return {
        (sample.name.removeprefix("voltpay_"), "".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def fetched(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        found: str = answer.read().decode()
        return found


def test_the_observer_follows_the_system(deployment: Deployment) -> None:
    """Its metrics follow a backlog and the writer that works it off, from a process of its own."""
    command(deployment, "topics", "create")
    deployment.rows(OLD)
    observer, url = observe(deployment)
    eventually(lambda: ("group_members", "") in scrape(url))
    deployment.feed(200)
    eventually(lambda: sum(scrape(url)["group_lag_records", str(n)] for n in range(4)) >= 200)
    found = scrape(url)
    assert (found["group_members", ""], found["unowned_partitions", ""]) == (0, 4)
    assert found["outbox_rows", ""] == 2
    assert found["outbox_oldest_seconds", ""] > HOUR
    assert found["oldest_claim_seconds", ""] > 10 * DAY
    assert found["months_ahead", "payment_core"] >= 2
    failing = {name for (metric, name), value in found.items() if metric == "check" and not value}
    assert failing == {"outbox"}
    deployment.consume(1)
    eventually(
        lambda: scrape(url)["group_members", ""] == 1 and scrape(url)["unowned_partitions", ""] == 0
    )
    eventually(lambda: sum(scrape(url)["group_lag_records", str(n)] for n in range(4)) == 0)
    letters = deployment.letter_codes().total()
    eventually(lambda: scrape(url)["dead_letters_retained", ""] == letters)
    assert json.loads(fetched(f"{url}/livez")) == {"status": "ok"}
    observer.end(SIGTERM)
    assert observer.exit_code() == 0


def test_the_observer_outlives_kafka(deployment: Deployment) -> None:
    """Without Kafka its metrics are absent and its checks 0; the database is still observed."""
    observer, url = observe(deployment, *IMPATIENT, source=AWAY["VOLTPAY_SOURCE"])
    eventually(lambda: ("check", "group") in scrape(url))
    found = scrape(url)
    assert {name for metric, name in found if metric == "check" and not found[metric, name]} == {
        *("broker", "group", "dead-letters")
    }
    assert found["outbox_rows", ""] == 0
    assert not {metric for metric, _ in found} & {"group_members", "dead_letters_retained"}
    assert json.loads(fetched(f"{url}/readyz")) == {"status": "ok"}
    assert observer.running


def test_nothing_of_a_payment_leaves(deployment: Deployment) -> None:
    """Neither report, metrics nor log show a payment, key or password, whatever is poison."""
    command(deployment, "topics", "create")
    deployment.publish(canary.records(Codec(deployment.topics)))
    deployment.drain()
    observer, url = observe(deployment)
    eventually(lambda: ("dead_letters_retained", "") in scrape(url))
    told = [fetched(f"{url}/metrics"), fetched(f"{url}/readyz"), observer.printed()]
    told += [command(deployment, "status"), json.dumps(status(deployment))]
    told[-1] = re.sub(r'"at": "[^"]*"|seconds": [\d.e-]+', "", told[-1])  # may hold any digits
    told[0] = re.sub(r"_seconds(_total)? [\d.e+-]+", "", told[0])
    assert [leak for each in told for leak in canary.leaks(each)] == []
    assert "bad-json" in told[-1]
