"""`python -m mdti`: the command line."""

import sys

from mdti.cli import main

if __name__ == "__main__":
    sys.exit(main())
