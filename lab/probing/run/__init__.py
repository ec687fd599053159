"""Observes many cells, each in a child process, so that one that hangs, crashes or leaks costs only itself.

    observe             runs one cell in this process: needs, trials, outcomes
    child               does the same inside a child, and looks for what the cell leaves behind (``leaks``)
    pool                what the runner needs of children, however they are made
    fork, spawn         the two pools; ``endings`` has how a child ended, and ends it
    worker              the program of a spawned child
    runner              runs many cells: order, deadlines, interrupts
    controls            finds observations whose controls observed the same
"""
