"""`python -m reproductions.flowpp`: the same as `run.py`."""

from reproductions.flowpp.run import FLOWPP, main

if __name__ == "__main__":
    main(FLOWPP)
