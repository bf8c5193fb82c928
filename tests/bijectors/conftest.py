"""XLA's optimizations cost more here than they save: every compiled function of the tests runs once."""

import os

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
