"""`python -m reproductions.vflow`: the same as `run.py`."""

import sys

from reproductions.vflow.run import run

if __name__ == "__main__":
    run(sys.argv[1:])
