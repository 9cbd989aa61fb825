"""`python -m networksecurity`: the command, where it is not installed."""

from networksecurity.cli import main

if __name__ == "__main__":
    main()
