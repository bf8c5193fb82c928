"""MaCow: `python -m reproductions.macow --dataset=cifar10`, or this file; see the README beside it."""

from reproductions.driver.main import main
from reproductions.macow.reproduction import MACOW

if __name__ == "__main__":
    main(MACOW)
