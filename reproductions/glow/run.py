"""Glow: `python -m reproductions.glow --dataset=cifar10`, or this file; see the README beside it."""

from reproductions.driver.main import main
from reproductions.glow.reproduction import GLOW

if __name__ == "__main__":
    main(GLOW)
