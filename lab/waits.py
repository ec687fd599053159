"""The longest wait that the lab passes to a system call, kept by options and by backends alike."""

from __future__ import annotations

LONGEST_WAIT = 2_000_000.0
"""Seconds, 23 days; every system call accepts it. epoll_wait(2) and poll(2) take an int of milliseconds (24.8 days), so
``socket.settimeout`` of CPython turns 4,294,968 s into 0.7 s; macOS rejects more than 1e8 s (erlang/otp #5339)."""
