"""A command of mailbridge that notifies no other replica of its commits: ``python -m tests.bench.silent python -m mailbridge serve …``."""

from __future__ import annotations

import sys

from mailbridge.cli import main
from mailbridge.store.postgres.replicas import Replicas

if __name__ == "__main__":
    Replicas.wakes = False
    sys.argv = sys.argv[3:]
    sys.exit(main())
