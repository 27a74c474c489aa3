"""``python -m mailbridge`` is ``mailbridge``, and Ctrl-C while it is still being loaded is one line, too."""

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """The entry point of the program."""
    try:
        from mailbridge.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("mailbridge: interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # nothing is open yet, and a second Ctrl-C has nothing to break into
    run()


if __name__ == "__main__":
    main()
