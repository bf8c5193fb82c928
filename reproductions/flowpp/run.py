"""Flow++: `python -m reproductions.flowpp --dataset=cifar10`, or this file; see the README beside it."""

from reproductions.driver.main import main
from reproductions.flowpp.reproduction import FLOWPP

if __name__ == "__main__":
    main(FLOWPP)
