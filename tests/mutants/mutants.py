"""The mutants: a name, a file, and one textual replacement in it."""

from __future__ import annotations

from attrs import frozen

WRITER = "voltpay_core/writer.py"
BREAKER = "voltpay_core/breaker.py"
CONSUMING = "voltpay_core/consuming.py"
RELAYING = "voltpay_core/relaying.py"
GROUPING = "voltpay_core/grouping.py"
CODEC = "voltpay_core/codec.py"
IDS = "voltpay_core/ids.py"
PURGING = "voltpay_core/purging.py"
REPLAYING = "voltpay_core/replaying.py"
RETRYING = "voltpay_adapters/retrying.py"
SQLITE = "voltpay_adapters/local/sqlite.py"
SQLITE_STORES = "voltpay_adapters/local/sqlite_stores.py"
MEMORY_DATABASE = "voltpay_adapters/testing/database.py"
NODE_LEASE = "voltpay_adapters/local/node_lease.py"
SOURCE = "voltpay_adapters/local/source.py"
READING = "voltpay_adapters/local/reading.py"
APPENDING = "voltpay_adapters/local/appending.py"
URLS = "voltpay_adapters/postgres/urls.py"
MASKING = "voltpay_cli/settings/masking.py"

LAWS = ("tests/properties/test_every_step.py", "tests/properties/test_sqlite_laws.py")
SIMULATED = ("tests/properties/test_simulation.py",)
CORE = ("tests/unit/test_writer.py", "tests/unit/test_consuming.py", *LAWS)


@frozen
class Mutant:
    """A change for the worse.

    Attributes:
        tests: What is run against it, until the first failure.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = CORE


MUTANTS = (
    # Claiming and writing
    Mutant(
        "claim after the write",
        WRITER,
        "            free = work.idempotency.claim("
        "sorted({m.payment.message_id for m in messages}))\n",
        "            free = {m.payment.message_id for m in messages}\n",
        LAWS,
    ),
    Mutant(
        "a message id twice in a unit",
        WRITER,
        "                    free.remove(message.payment.message_id)\n",
        "",
        LAWS,
    ),
    Mutant(
        "claims in any order",
        WRITER,
        "claim(sorted({m.payment.message_id for m in messages}))",
        "claim(list({m.payment.message_id: 0 for m in messages}))",
    ),
    Mutant(
        "duplicates are published again",
        WRITER,
        "            work.payments.add([each.payment",
        "            outcomes = [\n"
        "                Written(m.record, Payment(self._ids.mint(work.node_id), m.payment))\n"
        "                if isinstance(outcome, Duplicate)\n"
        "                else outcome\n"
        "                for outcome, m in zip(outcomes, messages)\n"
        "            ]\n"
        "            work.payments.add([each.payment",
        LAWS,
    ),
    # Rejections
    Mutant(
        "a rejected half keeps its claims",
        WRITER,
        "        with work.savepoint():\n",
        "        if True:\n",
    ),
    Mutant(
        "bisection drops the right half",
        WRITER,
        "                    *self._write_or_bisect(work, messages[middle:]),\n",
        "",
        LAWS,
    ),
    Mutant(
        "bisection begins with the right half",
        WRITER,
        "                    *self._write_or_bisect(work, messages[:middle]),\n"
        "                    *self._write_or_bisect(work, messages[middle:]),\n",
        "                    *self._write_or_bisect(work, messages[middle:]),\n"
        "                    *self._write_or_bisect(work, messages[:middle]),\n",
        ("tests/unit/test_writer.py", *LAWS),
    ),
    Mutant(
        "bisection stops early",
        WRITER,
        "            if len(messages) > 1:",
        "            if len(messages) > 2:",
        LAWS,
    ),
    Mutant(
        "a dead letter claims the message id",
        WRITER,
        "            index: dead_letter_key(outcome.record)\n",
        "            index: self._codec.decode_payment(outcome.record.value).message_id\n"
        "            if outcome.reason.sqlstate or outcome.reason.constraint\n"
        "            else dead_letter_key(outcome.record)\n",
    ),
    Mutant(
        "a dead letter claims nothing",
        WRITER,
        "        free = work.idempotency.claim(sorted(keys.values()))\n",
        "        free = set(keys.values())\n",
        LAWS,
    ),
    Mutant(
        "a dead letter's claim forgets the offset",
        WRITER,
        "\\n{record.offset}",
        "",
    ),
    Mutant(
        "no new id after a collision",
        WRITER,
        "        if isinstance(rejection, PaymentIdTaken):",
        "        if not rejection:",
    ),
    Mutant("no breaker", BREAKER, "        if count >= self.limit:", "        if count < 0:"),
    Mutant(
        "the breaker counts what is rolled back",
        WRITER,
        "            breaker = self.breaker.after(",
        "            breaker = self.breaker = self.breaker.after(",
    ),
    Mutant(
        "the breaker counts what comes again",
        WRITER,
        "self.breaker.after(outcomes[: len(written)])",
        "self.breaker.after(written)",
        ("tests/unit/test_writer.py",),
    ),
    Mutant(
        "nothing separates rejections",
        BREAKER,
        "        if not self.rejections or self._written + 1 >= self.limit:",
        "        if not self.rejections:",
    ),
    # Outbox and fence
    Mutant(
        "the fence is not held, seen by the laws",
        WRITER,
        "        work.fence.hold(",
        "        dict(",
        SIMULATED,
    ),
    Mutant(
        "no outbox row",
        WRITER,
        "work.outbox.put({partition: pack(made) for partition, made in events.items()})",
        "frozenset()",
        LAWS,
    ),
    Mutant(
        "the fence is not held",
        WRITER,
        "        work.fence.hold(",
        "        dict(",
    ),
    Mutant(
        "only one partition of a unit is held",
        WRITER,
        "item.record.partition: epochs[item.record.partition] for item in unit}",
        "item.record.partition: epochs[item.record.partition] for item in unit[:1]}",
    ),
    Mutant(
        "published rows are kept",
        WRITER,
        "            work.outbox.delete(published)\n",
        "",
    ),
    Mutant(
        "events out of order",
        WRITER,
        "list(chain.from_iterable(events.values()))",
        "list(chain.from_iterable(events.values()))[::-1]",
        LAWS,
    ),
    Mutant(
        "dead letters are not published",
        WRITER,
        "                return [self._codec.dead_letter(outcome, self._now())]",
        "                return []",
        LAWS,
    ),
    # The loop
    Mutant(
        "acknowledge before the publication",
        CONSUMING,
        "            self._relay.wait(leave=sum(each.publications for each in later))\n",
        "",
        SIMULATED,
    ),
    Mutant(
        "acknowledge before the write",
        CONSUMING,
        "        units = self._decode(polled.records)\n",
        "        self._source.acknowledge(polled.positions)\n"
        "        units = self._decode(polled.records)\n",
        LAWS,
    ),
    Mutant(
        "never acknowledge",
        CONSUMING,
        "                self._source.acknowledge(batch.polled.positions)\n",
        "                pass\n",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "no seek_to_committed of owned partitions",
        CONSUMING,
        "        self._source.seek_to_committed(partitions)\n",
        "        self._source.seek_to_committed(partitions - self._epochs.keys())\n",
        LAWS,
    ),
    Mutant(
        "a take-over publishes nothing",
        CONSUMING,
        "        republished = self._relay.publish_pending(pending)\n",
        "        republished = 0\n",
        LAWS,
    ),
    Mutant(
        "a take-over reads the outbox before it bumps the epoch",
        CONSUMING,
        "            epochs = work.fence.bump_epochs(sorted(partitions))\n"
        "            pending, node_id = work.outbox.pending(partitions), work.node_id\n",
        "            pending, node_id = work.outbox.pending(partitions), work.node_id\n"
        "        with self._begin() as work:\n"
        "            epochs = work.fence.bump_epochs(sorted(partitions))\n",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "failure leaves no doubt",
        CONSUMING,
        "        self._in_doubt |= self._epochs.keys()\n",
        "",
        LAWS,
    ),
    Mutant(
        "a failure keeps the batches in hand",
        CONSUMING,
        "        self._unacknowledged.clear()\n",
        "",
        SIMULATED,
    ),
    Mutant(
        "a revoked partition is acknowledged",
        CONSUMING,
        "            self._forget(polled.assigned | polled.revoked)\n",
        "",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "what a take-over could not publish is acknowledged",
        CONSUMING,
        "        if not self._relay.settle():\n            self._doubt_everything()\n",
        "        self._relay.settle()\n",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "a batch waits for too few publications",
        CONSUMING,
        "(leave=sum(each.publications for each in later))",
        "(leave=1 + sum(each.publications for each in later))",
        SIMULATED,
    ),
    Mutant(
        "nothing overlaps",
        CONSUMING,
        "        self._acknowledge(leave=self._overlap)\n",
        "        self._acknowledge()\n",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "a stop leaves the batches in hand",
        CONSUMING,
        "            self._acknowledge()\n        self._relay.settle()\n",
        "            pass\n        self._relay.settle()\n",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "what is assigned is never taken over",
        CONSUMING,
        "(self._in_doubt | polled.assigned)",
        "self._in_doubt",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "what is kept is taken over",
        CONSUMING,
        "        self._in_doubt = (self._in_doubt | polled.assigned) - polled.revoked\n",
        "        if polled.assigned:\n"
        "            self._in_doubt |= self._epochs.keys() | polled.assigned\n"
        "        self._in_doubt -= polled.revoked\n",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "drained before the take-over",
        CONSUMING,
        "until_drained and not self._in_doubt and",
        "until_drained and",
        LAWS,
    ),
    Mutant(
        "an idle turn leaves the batches in hand",
        CONSUMING,
        "        self._settle()\n        if polled",
        "        self._delete_published()\n        if polled",
        SIMULATED,
    ),
    Mutant(
        "an idle turn leaves rows in the outbox",
        CONSUMING,
        "        self._settle()\n        if polled",
        "        self._acknowledge()\n        if polled",
        SIMULATED,
    ),
    Mutant(
        "nobody settles before a partition moves",
        CONSUMING,
        "        self._source.on_revoke(self._settle)\n",
        "",
        SIMULATED,
    ),
    Mutant(
        "what moves is not acknowledged before",
        CONSUMING,
        '(G2)."""\n        self._acknowledge()\n        self._delete_published()\n',
        '(G2)."""\n        self._delete_published()\n',
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "offsets without records are never acknowledged",
        CONSUMING,
        "        if polled.positions:\n            self._source.acknowledge(polled.positions)\n",
        "",
        SIMULATED,
    ),
    Mutant(
        "a bounded run polls too much",
        CONSUMING,
        "max_records - self._acknowledged - in_hand)",
        "max_records - self._acknowledged)",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "rows are left in the outbox at the end",
        CONSUMING,
        "        self._relay.settle()\n        self._delete_published()",
        "        self._relay.settle()",
        ("tests/unit/test_consuming.py",),
    ),
    Mutant(
        "rows are done with before they are published",
        RELAYING,
        "        self._in_flight.append(_Sent(publication, events, rows, repeat, started))\n",
        "        self._in_flight.append(_Sent(publication, events, rows, repeat, started))\n"
        "        self.published |= rows\n",
        LAWS,
    ),
    Mutant(
        "nobody waits for a publication",
        RELAYING,
        "            sent.publication.wait()\n",
        "",
        LAWS,
    ),
    Mutant(
        "what is published is published again",
        RELAYING,
        "        left = [row for row in pending if row.id not in self.published]\n",
        "        left = list(pending)\n",
    ),
    Mutant(
        "what failed is overtaken",
        RELAYING,
        "            self._publisher.reset()\n",
        "",
    ),
    # Retries
    Mutant(
        "all calls share one time limit",
        RETRYING,
        "    return _Backoff(retrying, seconds, timer)\n",
        "    deadline = timer() + seconds\n"
        "    return _Backoff(retrying, seconds, lambda: deadline - seconds)\n",
        SIMULATED,
    ),
    Mutant(
        "a call is tried again for ever",
        RETRYING,
        "stop.is_set() or timer() >= deadline",
        "stop.is_set()",
        SIMULATED,
    ),
    Mutant(
        "a call ends a wait too early",
        RETRYING,
        "timer() >= deadline",
        "timer() + state.upcoming_sleep >= deadline",
        SIMULATED,
    ),
    Mutant(
        "a call is tried again though it is to stop",
        RETRYING,
        "stop.is_set() or timer() >= deadline",
        "timer() >= deadline",
        SIMULATED,
    ),
    Mutant(
        "a stop ends no wait",
        RETRYING,
        "        if stop.wait(seconds):\n",
        "        if stop.wait(seconds) and not stop.is_set():\n",
        SIMULATED,
    ),
    # Grouping
    Mutant(
        "an account's records reversed",
        GROUPING,
        "setdefault(account, []).append(item)",
        "setdefault(account, []).insert(0, item)",
        ("tests/unit/test_grouping.py",),
    ),
    Mutant(
        "an account's records reversed, seen by the laws",
        GROUPING,
        "setdefault(account, []).append(item)",
        "setdefault(account, []).insert(0, item)",
        LAWS,
    ),
    Mutant(
        "the last units are revoked",
        GROUPING,
        "    while unit := list(islice(remaining, accounts)):\n",
        "    if unit := list(islice(remaining, accounts)):\n",
        LAWS,
    ),
    # Ids
    Mutant(
        "the clock is not clamped",
        IDS,
        "if now > self._milliseconds or",
        "if now != self._milliseconds or",
        ("tests/unit/test_ids.py",),
    ),
    Mutant(
        "a node id of two digits",
        IDS,
        "{node_id:03}",
        "{node_id:02}",
        ("tests/unit/test_ids.py",),
    ),
    # The codec
    Mutant(
        "amounts by way of a float",
        CODEC,
        'Decimal(found["digits"].decode())',
        'Decimal(str(float(found["digits"])))',
        ("tests/unit/test_codec.py",),
    ),
    Mutant(
        "empty fields are written",
        CODEC,
        "    return {name: text for name, text in optional.items() if text}",
        "    return dict(optional)",
        ("tests/unit/test_codec.py",),
    ),
    Mutant(
        "any key will do",
        CODEC,
        "            _check_key(record.key, payment.account_id)\n",
        "",
        ("tests/unit/test_codec.py",),
    ),
    Mutant(
        "a dead letter loses its headers",
        CODEC,
        "            headers=(*kept, *(",
        "            headers=(*(), *(",
        ("tests/unit/test_codec.py",),
    ),
    Mutant(
        "reasons hold values",
        CODEC,
        '        raise Rejected("invalid-field", "amount is missing or no decimal number")',
        '        raise Rejected("invalid-field", f"amount is no decimal number: {bytes(raw)!r}")',
        ("tests/unit/test_codec.py",),
    ),
    Mutant(
        "every payment mails",
        CODEC,
        "        if stated.status in self.email_statuses:",
        "        if True:",
        ("tests/unit/test_codec.py",),
    ),
    Mutant(
        "warm-ups are payments",
        CODEC,
        '        if record.value == b"{}" or any(',
        '        if record.value == b"{}" and any(',
        ("tests/unit/test_codec.py",),
    ),
    # Replays
    Mutant(
        "a replay acknowledges before it sends",
        REPLAYING,
        "        if chunk.back:\n",
        "        _acknowledge(source, polled, chunk.seen)\n        if chunk.back:\n",
        SIMULATED,
    ),
    Mutant(
        "a limited replay acknowledges what it leaves",
        REPLAYING,
        "        _acknowledge(source, polled, chunk.seen)\n",
        "        _acknowledge(source, polled, polled.records)\n",
        SIMULATED,
    ),
    Mutant(
        "a replay forgets how often a letter has failed",
        CODEC,
        "    kept = (ATTEMPT_HEADER, FIRST_FAILED_HEADER)\n",
        "    kept = (FIRST_FAILED_HEADER,)\n",
        SIMULATED,
    ),
    # The purge
    Mutant(
        "one chunk only",
        PURGING,
        "    while rest is not None and not stop():",
        "    if not stop():",
        ("tests/unit/test_purging.py",),
    ),
    Mutant(
        "one chunk only, seen by the laws",
        PURGING,
        "    while rest is not None and not stop():",
        "    if not stop():",
        SIMULATED,
    ),
    Mutant(
        "a purge deletes all claims",
        PURGING,
        "purge(older_than, chunk, rest)",
        "purge(timedelta(0), chunk, rest)",
        SIMULATED,
    ),
    Mutant(
        "a purge ignores the size of its chunks",
        PURGING,
        "purge(older_than, chunk, rest)",
        "purge(older_than, chunk + 1, rest)",
        SIMULATED,
    ),
    Mutant(
        "a purge ignores the outbox",
        MEMORY_DATABASE,
        "        before = min([before, *(created_at for _, _, created_at in rows)])\n",
        "",
        SIMULATED,
    ),
    # SQLite
    Mutant(
        "a roll-back that keeps the claim",
        SQLITE,
        '                self._connection.execute("ROLLBACK TO attempt")\n',
        "                pass\n",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "a roll-back that keeps the claim, seen by the laws",
        SQLITE,
        '                self._connection.execute("ROLLBACK TO attempt")\n',
        "                pass\n",
        LAWS,
    ),
    Mutant(
        "failures commit",
        SQLITE,
        '                    connection.execute("ROLLBACK")\n',
        '                    connection.execute("COMMIT")\n',
        LAWS,
    ),
    Mutant(
        "transactions do not wait for each other",
        SQLITE,
        '"BEGIN IMMEDIATE"',
        '"BEGIN"',
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "every key is free",
        SQLITE_STORES,
        "        return {key for (key,) in rows}\n",
        "        return set(keys)\n",
        LAWS,
    ),
    Mutant(
        "amounts are rounded",
        SQLITE_STORES,
        "                    str(payment.stated.amount),\n",
        "                    str(float(payment.stated.amount)),\n",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "the epoch is not raised",
        SQLITE_STORES,
        '" ON CONFLICT DO UPDATE SET epoch = epoch + 1"',
        '" ON CONFLICT DO NOTHING"',
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "the fence lets everybody in",
        SQLITE_STORES,
        "        if bumped:\n",
        "        if not epochs:\n",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "the outbox is read backwards",
        SQLITE_STORES,
        "FROM outbox ORDER BY id",
        "FROM outbox ORDER BY id DESC",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "the outbox is everybody's",
        SQLITE_STORES,
        "            if Partition(topic, number) in partitions\n",
        "",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "row ids are used again",
        SQLITE,
        "id integer PRIMARY KEY AUTOINCREMENT",
        "id integer PRIMARY KEY",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "a purge forgets the outbox",
        SQLITE_STORES,
        "coalesce(min(created_at), '9999')",
        "'9999'",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "a purge without bounds",
        SQLITE_STORES,
        "WHERE date < ? LIMIT ?)",
        "WHERE date < ? LIMIT ? * 1000)",
        ("tests/unit/test_sqlite.py",),
    ),
    Mutant(
        "a node id is anybody's",
        NODE_LEASE,
        "                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        ("tests/unit/test_sqlite.py",),
    ),
    # Files
    Mutant(
        "what is unacknowledged is forgotten",
        SOURCE,
        "        self._unacknowledged.extend(records)\n",
        "",
        ("tests/unit/test_files.py",),
    ),
    Mutant(
        "the position is not kept",
        SOURCE,
        "                work.positions.save(self._bookmark(beginning), position)\n",
        "                pass\n",
        ("tests/unit/test_files.py",),
    ),
    Mutant(
        "any file of the name goes on",
        SOURCE,
        '{self._partition.topic}#{digest}"',
        '{self._partition.topic}#"',
        ("tests/unit/test_files.py",),
    ),
    Mutant(
        "a torn line stays",
        APPENDING,
        "    os.ftruncate(descriptor, whole_lines(descriptor, os.fstat(descriptor).st_size))\n",
        "",
        ("tests/unit/test_files.py",),
    ),
    Mutant(
        "a half-written batch stays",
        APPENDING,
        "            written.callback(_shorten, descriptor, os.fstat(descriptor).st_size)\n",
        "",
        ("tests/unit/test_files_full.py",),
    ),
    Mutant(
        "a line goes behind one without a newline",
        APPENDING,
        '    return b"\\n" * (whole_lines(descriptor, end) < end)\n',
        '    return b""\n',
        ("tests/unit/test_files.py",),
    ),
    Mutant(
        "the last line needs a newline",
        READING,
        "if not (newline or (self.ended and self._begun)):",
        "if not newline:",
        ("tests/unit/test_files.py",),
    ),
    Mutant(
        "long lines are read in quadratic time",
        READING,
        "        self._begun += first\n",
        "        self._begun = bytearray(bytes(self._begun) + first)\n",
        ("tests/unit/test_reading.py",),
    ),
    Mutant(
        "lines may be of any length",
        READING,
        "            if len(line) > self._longest:\n",
        "            if False:\n",
        ("tests/unit/test_reading.py",),
    ),
    Mutant(
        "what was read is not compared at the end",
        SOURCE,
        "            self._check_unchanged()\n",
        "            pass\n",
        ("tests/unit/test_files_resume.py",),
    ),
    # URLs
    Mutant(
        "a password is masked to its first @",
        MASKING,
        '([^:@]*):.*@"',
        '([^:@]*):[^@]*@"',
        ("tests/unit/test_urls.py",),
    ),
    Mutant(
        "a password that is not UTF-8 becomes another",
        URLS,
        'errors="strict"',
        'errors="replace"',
        ("tests/unit/test_urls.py",),
    ),
    Mutant(
        "any port will do",
        URLS,
        "1 <= int(port) <= 65535",
        "int(port) >= 0",
        ("tests/unit/test_urls.py",),
    ),
)
