"""What lets a server end with the tests: else a test run that is killed leaves it behind."""

import shutil

LEASH = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
"""The beginning of a command that ends with the process which starts it."""
