"""Ctrl-C while a command imports what it needs: it ends at once, and without Python's traceback.

Python raises KeyboardInterrupt wherever it is, also in the middle of somebody's import. Until there is code to catch
it, the system's own answer to the signal is the better one: the process dies of it, which a shell reports as 130.
"""

import signal


def end_of_ctrl_c() -> None:
    """Let Ctrl-C end this process, until `hear_ctrl_c`; one that ignores it goes on to."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def hear_ctrl_c() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
