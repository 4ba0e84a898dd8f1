"""Run by path as a script, before an engine: `launch.py SIGNAL UID GID COMMAND...`.

Becomes COMMAND, which then receives SIGNAL when the process that started it dies (`PR_SET_PDEATHSIG`), so that a killed
supervisor leaves nothing behind. UID and GID of -1 keep the account. A script of its own rather than `preexec_fn`,
which may deadlock in a process with threads; it imports nothing of ours, so that it starts in milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop the account, tie to the parent, exec. Never returns."""
    death_signal, uid, gid = (int(a) for a in arguments[:3])
    command = arguments[3:]
    parent = os.getppid()
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After setuid: changing credentials clears the death signal.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent died first")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
