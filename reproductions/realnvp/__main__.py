"""`python -m reproductions.realnvp`: the same as `run.py`."""

from reproductions.realnvp.run import REALNVP, main

if __name__ == "__main__":
    main(REALNVP)
