"""`python -m regbook` is the command `regbook`."""

import sys

from regbook.cli import main

if __name__ == "__main__":
    sys.exit(main())
