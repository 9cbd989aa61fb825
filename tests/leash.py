"""The beginning of a command that ends with us: else a test run that is killed leaves a server behind."""

import shutil

LEASH = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
