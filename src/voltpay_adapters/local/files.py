"""JSON lines instead of topics: publishers of event files and of payment files."""

from __future__ import annotations

import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NoReturn

from attrs import define, frozen

from voltpay_adapters.local.appending import append, cannot, complete, cut_off, locked
from voltpay_adapters.local.lines import envelope, payment_line, read_envelope
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.ports import Publication
from voltpay_core.records import Partition, ProducerRecord, Record

STDOUT = "-"


@define
class FilePublisher:
    """An `EventPublisher` that appends envelopes to one file for each topic.

    A partial line that a crash has left is removed first.

    Attributes:
        directory: Created if missing.
    """

    _directory: Path

    def __attrs_post_init__(self) -> None:
        """Create the directory.

        Raises:
            Misconfigured: It cannot be created.
            Unavailable: The disk is full.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot(f"write to {self._directory}", error) from None

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Append the events, all or none, and flush them to the disk."""
        lines: dict[Path, bytearray] = {}
        for event in events:
            path = self._directory / f"{event.topic}.jsonl"
            lines.setdefault(path, bytearray()).extend(envelope(event) + b"\n")
        try:
            append(lines, cut_off)
        except OSError as error:
            raise Unavailable(
                f"cannot write to {self._directory}: {error.strerror}", halt=True
            ) from error
        return Acknowledged()

    def reset(self) -> None:
        """Nothing is ever on its way here."""

    def close(self) -> None:
        """Nothing is ever open."""


@define
class PaymentFilePublisher:
    """An `EventPublisher` that appends to one file of payments; ``-`` is the standard output.

    A payment with its account as the key becomes a plain line; any other record an envelope.
    """

    _path: str

    def __attrs_post_init__(self) -> None:
        """Create the file if it is missing.

        Raises:
            Misconfigured: It cannot be written, or is a pipe or a device.
            Unavailable: The disk is full.
        """
        if self._path != STDOUT:
            try:
                with locked(Path(self._path)):
                    pass
            except OSError as error:
                raise cannot(f"write {self._path}", error) from None

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Append the records; to a file, all or none."""
        text = b"".join(payment_line(event) + b"\n" for event in events)
        try:
            if self._path == STDOUT:
                sys.stdout.buffer.write(text)
                sys.stdout.buffer.flush()
            else:
                append({Path(self._path): text}, complete)
        except BrokenPipeError:
            raise  # the reader has closed the pipe
        except OSError as error:
            raise Unavailable(f"cannot write {self._path}: {error.strerror}", halt=True) from error
        return Acknowledged()

    def reset(self) -> None:
        """Nothing is ever on its way here."""

    def close(self) -> None:
        """Nothing is ever open."""


@contextmanager
def new_payment_file(path: str) -> Iterator[PaymentFilePublisher]:
    """A publisher to a new file that its owner alone can read; a failure removes the file.

    Raises:
        Misconfigured: There is such a file, or it cannot be written.
        Unavailable: The disk is full.
    """
    if path == STDOUT:
        yield PaymentFilePublisher(path)
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Misconfigured(f"{path} exists already: name a new file, or delete it") from None
    except OSError as error:
        raise cannot(f"write {path}", error) from None
    try:
        yield PaymentFilePublisher(path)
    except BaseException:
        Path(path).unlink()
        raise


class Acknowledged:
    """A `Publication` that is done as soon as it is made."""

    def wait(self) -> None:
        """Return at once."""


@frozen
class FileDeadLetters:
    """The `DeadLetters` of a file that `FilePublisher` wrote."""

    _path: Path

    def browse(
        self,
        replays_of: str | None = None,  # noqa: ARG002 - none are replayed
        begin: tuple[int, int] | None = None,
    ) -> Iterator[Record]:
        """Read the file.

        Raises:
            Misconfigured: The file cannot be read, or is not of that form.
        """
        number, first = begin or (0, 0)
        return islice(browse(self._path), first, None if number == 0 else 0)

    def source(self, code: str) -> NoReturn:  # noqa: ARG002 - none are replayed
        """Say how the letters of a file are replayed."""
        raise Misconfigured(
            "dead letters in files are replayed by consuming a copy of them: copy"
            f" {self._path.name} and fix what has to be fixed",
            code="letters-in-file",
        )


def browse(path: Path) -> Iterator[Record]:
    """The events of a file as records of one partition; none if the file does not exist.

    Raises:
        Misconfigured: The file cannot be read, or has a line that is not an event.
    """
    for number, event in enumerate(read_events(path) if path.exists() else []):
        partition = Partition(event.topic, 0)
        yield Record(partition, number, event.timestamp, event.key, event.value, event.headers)


def read_events(path: Path) -> list[ProducerRecord]:
    """The events of a file that `FilePublisher` wrote; the topic is the file's name.

    Raises:
        Misconfigured: The file cannot be read, or has a line that is not an event.
    """
    try:
        *whole, last = path.read_bytes().removeprefix(BOM_UTF8).split(b"\n")
        lines = [read_envelope(line) for line in whole if line.strip()]
        with suppress(ValueError):  # a partial line of a crash, or of a write in progress
            lines += [read_envelope(last)]
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{path} has a line that is not an event: {error}") from None
    return [
        ProducerRecord(path.stem, line.key, line.value, line.headers, timestamp=line.timestamp)
        for line in lines
    ]
