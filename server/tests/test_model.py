"""Several clients at one server against the reference of `server/tests/model`: no answer, notification or file differs.

They open (with modes, leases, oplocks, durable and persistent), make resilient, read, write, lock, rename, delete, lose
their connections and come back, and send again what they have sent; one watches and caches the directories; servers are
stopped and killed.

It takes some seconds and is the same in every run; `MODEL_EXAMPLES=2000` (and `MODEL_STEPS=40`) make it a hunt, for
other cases each time. A case it finds is shrunk, which takes minutes; `MODEL_SHRINK=no` shows it as it was found.
"""

import os

from hypothesis import HealthCheck, Phase, settings

from server.tests.model.machine import Available, Machine

HUNTING = "MODEL_EXAMPLES" in os.environ
EXAMPLES, STEPS = int(os.environ.get("MODEL_EXAMPLES", "30")), int(os.environ.get("MODEL_STEPS", "30"))
PHASES = [Phase.generate] + [Phase.shrink] * (os.environ.get("MODEL_SHRINK") != "no")

TestModel, TestAvailable = Machine.TestCase, Available.TestCase
TestModel.settings = TestAvailable.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not HUNTING,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=PHASES,
)
