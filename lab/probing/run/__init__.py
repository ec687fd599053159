"""Observes many cells, each in a child process, so that one that hangs, crashes or leaks costs only itself.

    observe             one cell in this process: needs, trials, outcomes
    child               the same inside a child, with a look at what the cell leaves behind (``leaks``)
    fork, spawn         two ways to have children; ``endings`` tells how one ended
    worker              the program of a spawned child
    runner              many cells: order, deadlines, interrupts
    controls            which observations their controls agree with
"""
