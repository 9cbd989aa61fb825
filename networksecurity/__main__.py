"""What the command `networksecurity` starts with, as does `python -m networksecurity` where it is not installed."""

from networksecurity.interrupt import end_of_ctrl_c


def main() -> None:
    """Run the command of this process's arguments and exit."""
    end_of_ctrl_c()
    from networksecurity.cli import main as run

    run()


if __name__ == "__main__":
    main()
