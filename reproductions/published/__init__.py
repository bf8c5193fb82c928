"""What the papers and their released code print, as data that is installed with the package; nothing here is measured."""

import pathlib

# Of `expected.csv` (numbers printed in the papers), `parameters.csv` (sizes of the released models), `papers.csv` (their names).
DIRECTORY = pathlib.Path(__file__).parent
EXPECTED = DIRECTORY / "expected.csv"
PAPERS = DIRECTORY / "papers.csv"
PARAMETERS = DIRECTORY / "parameters.csv"
