"""`python -m reproductions.agave`: the same as `run.py`."""

from reproductions.agave.run import AGAVE, main

if __name__ == "__main__":
    main(AGAVE)
