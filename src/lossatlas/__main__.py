"""``python -m lossatlas``."""

import sys

from lossatlas.cli import main

if __name__ == "__main__":
    sys.exit(main())
