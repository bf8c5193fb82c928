"""`python -m reproductions.glow`: the same as `run.py`."""

from reproductions.glow.run import GLOW, main

if __name__ == "__main__":
    main(GLOW)
