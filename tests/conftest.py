"""What all tests share: how long Hypothesis searches, and how a failure is replayed."""

import os

from hypothesis import HealthCheck, Phase, settings

ALLOWED = [
    HealthCheck.differing_executors,  # the contracts run once an adapter
    HealthCheck.function_scoped_fixture,  # their laws hold on a database that is in use
    HealthCheck.too_slow,
]

# A failure prints its @reproduce_failure line, and pytest its --hypothesis-seed.
settings.register_profile(
    "ci", deadline=None, print_blob=True, max_examples=60, suppress_health_check=ALLOWED
)
settings.register_profile("dev", parent=settings.get_profile("ci"), max_examples=25)
settings.register_profile("lean", parent=settings.get_profile("ci"), max_examples=5)
settings.register_profile("deep", parent=settings.get_profile("ci"), max_examples=2000)
settings.register_profile(
    "mutants",
    parent=settings.get_profile("ci"),
    database=None,
    derandomize=True,  # whether a mutant is caught must not be a matter of luck
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile(
    "mutation", parent=settings.get_profile("mutants"), max_examples=20, derandomize=True
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "dev")
)
