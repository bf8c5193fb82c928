"""`python -m reproductions.macow`: the same as `run.py`."""

from reproductions.macow.run import MACOW, main

if __name__ == "__main__":
    main(MACOW)
