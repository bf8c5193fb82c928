"""RealNVP: `python -m reproductions.realnvp --dataset=cifar10`, or this file; see the README beside it."""

from reproductions.driver.start_up import start_up

start_up()

from reproductions.driver.main import main  # noqa: E402
from reproductions.realnvp.reproduction import REALNVP  # noqa: E402

if __name__ == "__main__":
    main(REALNVP)
