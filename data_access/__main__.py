"""`python -m data_access VERB`; the verbs are the files of `data_access.cli`."""

import sys

from data_access.cli import main

if __name__ == "__main__":
    sys.exit(main())
