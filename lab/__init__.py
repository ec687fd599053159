"""muxlab: find out, by running, how the readiness APIs behave on the platform you are on.

Everything in this package but ``lab.harness`` is standard library only, runs on CPython 3.8+ and
PyPy on every operating system, and is packed into one file, ``lab.pyz``.
"""

__version__ = "0.1.0"
