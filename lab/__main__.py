"""`python -m lab`, and the first file that runs in lab.pyz.

An interpreter that is too old reads this file before it can be told so: it must stay valid Python 2.7 and 3.5, and
import the rest, which is not, only once the version is known. tests/pyz/test_pyz.py runs it on old ones.
"""

import sys


def main():
    # type: () -> int
    """Run the command line. Returns its exit code, or 3 (errors.EXIT_NOT_HERE) on Python under 3.8."""
    if sys.version_info < (3, 8):
        sys.stderr.write("lab needs Python 3.8 or newer; this is %s (%s): run it with another interpreter\n" % (
            ".".join(str(part) for part in sys.version_info[:3]), sys.executable))
        return 3
    from lab.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
