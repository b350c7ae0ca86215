"""Runs the stack in the foreground until Ctrl-C or SIGTERM: `python -m tests.harness.stack`."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.harness.databases import migrated
from tests.harness.stack.kafka import KafkaCluster
from tests.harness.stack.monitors import NodeExporter, PostgresExporter, Prometheus, Target
from tests.harness.stack.places import MissingError, jars
from tests.harness.stack.postgres import PostgresServer
from tests.harness.stack.processes import Process, StackError, free_ports

from voltpay_cli.addresses import Address

DATABASE = "voltpay"
WRITER = Address()


def main() -> int:
    """Start, prepare, print `export` lines to be sourced, and wait; 1 when that fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.stack", description=__doc__)
    parser.add_argument("--bare", action="store_true", help="servers only: no tables, no topics")
    parser.add_argument(
        "--run",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="servers for tests, until this command ends, which finds them in its environment",
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given.run:
            return run(given.run)
        with PostgresServer(tcp_auth="trust") as postgres, KafkaCluster() as kafka:
            postgres.create_database(DATABASE)
            if given.bare:
                show(addresses(postgres, kafka))
                signal.pause()
            prepare(postgres, kafka)
            with monitored(postgres, kafka) as prometheus:
                show(addresses(postgres, kafka))
                print(f"# alerts: {prometheus.url}/alerts; for a writer with --listen {WRITER}")
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except (MissingError, StackError, subprocess.CalledProcessError) as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    return 0


def run(command: Sequence[str]) -> int:
    """Run a command with the servers that tests start otherwise; its exit code."""
    with (
        PostgresServer(durable=False) as postgres,
        KafkaCluster.for_tests() as kafka,
        migrated(postgres) as template,
    ):
        stack = {
            "STACK_KAFKA": kafka.bootstrap,
            "STACK_POSTGRES": postgres.superuser_url(),
            "STACK_TEMPLATE": template,
        }
        return subprocess.call(command, env=os.environ | stack)


def prepare(postgres: PostgresServer, kafka: KafkaCluster) -> None:
    """Make roles, tables and topics with the project's own commands."""
    environment = os.environ | addresses(postgres, kafka)
    for command in (("db", "bootstrap"), ("db", "update"), ("topics", "create")):
        subprocess.run(
            [sys.executable, "-m", "voltpay_cli", *command],
            check=True,
            env=environment,
            stdout=sys.stderr,
        )


@contextmanager
def monitored(postgres: PostgresServer, kafka: KafkaCluster) -> Iterator[Prometheus]:
    """Prometheus, which reads an observer, the exporters, and a writer if one listens."""
    with NodeExporter() as node, PostgresExporter(postgres) as exporter, ExitStack() as stack:
        (port,) = free_ports(1)
        observer = Process(
            "voltpay observe",
            [sys.executable, "-m", "voltpay_cli", "observe", "--listen", f"127.0.0.1:{port}"],
            log=node.folder / "observer.log",
            env=os.environ | addresses(postgres, kafka),
        )
        stack.callback(observer.end)
        yield stack.enter_context(
            Prometheus(
                {
                    "voltpay-writer": [Target(WRITER.port)],
                    "voltpay-observer": [Target(port)],
                    "node": [Target(node.port)],
                    "postgresql": [Target(exporter.port)],
                }
            )
        )


def addresses(postgres: PostgresServer, kafka: KafkaCluster) -> dict[str, str]:
    """The environment by which the writer, and the tests, find the stack."""
    return {
        "VOLTPAY_SOURCE": kafka.url,
        "VOLTPAY_STORE": postgres.url("voltpay_writer", DATABASE),
        "VOLTPAY_DATABASE_MIGRATOR": postgres.url("voltpay_migrator", DATABASE),
        "VOLTPAY_DATABASE_SUPERUSER": postgres.superuser_url(DATABASE),
        "VOLTPAY_DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase")),
        "STACK_KAFKA": kafka.bootstrap,
        "STACK_POSTGRES": postgres.superuser_url(),
    }


def show(environment: dict[str, str]) -> None:
    """Print lines that a shell can source."""
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
