"""What is shipped for the tests of others."""

import subprocess
import sys

WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("pytest", "hypothesis", "kafka", "pg8000")))
import voltpay_adapters.testing
"""


def test_doubles_and_samples_need_no_test_runner() -> None:
    """Only the contracts need pytest and Hypothesis, and nothing of it needs a client."""
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT], check=True)
