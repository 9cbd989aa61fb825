"""Tell phishing websites from legitimate ones: the data, the models and the records of them.

This package knows nothing of Prefect; `flows/` wires it into jobs.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("networksecurity")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0+checkout"
