"""Tell phishing websites from legitimate ones: the data, the models and the records of them.

This package knows nothing of Prefect; `flows/` wires it into jobs.
"""

__version__: str


def __getattr__(name: str) -> str:
    """Return the version, which takes longer to find than the rest of this module, when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("networksecurity")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+checkout"
