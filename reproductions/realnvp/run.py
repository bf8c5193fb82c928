"""RealNVP: `python -m reproductions.realnvp --dataset=cifar10`, or this file; see the README beside it."""

from reproductions.driver.main import main
from reproductions.realnvp.reproduction import REALNVP

if __name__ == "__main__":
    main(REALNVP)
