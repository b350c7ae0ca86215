"""Plays many histories, or prints one: `python -m tests.harness.simulation --help`."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time

from tests.harness.simulation.world import play

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--histories", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0, help="of the first history; each has its own")
parser.add_argument("--print", action="store_true", help="everything that happens")
parser.add_argument("--decisions", type=int, default=160, help="bytes of each tape")
given = parser.parse_args()

logging.disable(logging.WARNING)  # each retry is one
began = time.process_time()
for seed in range(given.seed, given.seed + given.histories):
    tell = print if given.print else lambda *_: None
    wrong = play(random.Random(seed).randbytes(given.decisions), tell)
    if wrong:
        print(f"--seed {seed} --histories 1 --print:", *wrong, sep="\n  ")
        sys.exit(1)
minutes = (time.process_time() - began) / 60
print(f"{given.histories} histories, {given.histories / minutes:.0f} a minute of one core")
