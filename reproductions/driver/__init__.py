"""What the `run.py` of every reproduction shares: flags and modes."""
