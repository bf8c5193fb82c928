"""AGAVE: `python -m reproductions.agave --dataset=cifar10`, or this file; see the README beside it."""

from reproductions.agave.reproduction import AGAVE
from reproductions.driver.main import main

if __name__ == "__main__":
    main(AGAVE)
