"""A small TCP server that runs on any backend and in any I/O model: for experiments to measure and for people to read.

    handler.py, handlers.py, http.py   the protocols (echo, discard, chargen, daytime, http), without I/O
    connection.py, output.py           one peer: reads, the output queue, back-pressure, half-close, lingering close
    loop.py, timers.py                 the event loop: accept, dispatch, timers, running out of descriptors, draining
    models/                            the four ways to wait: blocking, nonblocking, multiplexing, asynchronous
    limits.py                          what a peer may use, and the counters that every model keeps
    signals.py, bell.py                stopping: what SIGTERM and Ctrl-C do, and how sleeping threads wake on Windows
    trace.py, log.py                   what the server prints about itself
    workers.py                         several processes on one port
    command.py                         `lab serve`
"""
