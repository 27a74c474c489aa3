"""``python -m mailbridge`` is ``mailbridge``."""

from mailbridge.cli import main

main()
