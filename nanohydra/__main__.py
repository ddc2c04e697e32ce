"""`python -m nanohydra` is the same as `nanohydra`."""

import sys

from nanohydra.cli import main

if __name__ == "__main__":
    sys.exit(main())
