"""A small TCP server over any backend and any I/O model: what the experiments measure and learners take apart.

    handlers.py, http.py   what is said (echo, discard, chargen, daytime, http), without I/O
    connection.py          one peer: reads, the output queue, back-pressure, half-close, lingering close
    loop.py                the event loop: accept, dispatch, timers, running out of descriptors, draining
    models/                the four ways to wait: blocking, nonblocking, multiplexing, asynchronous
    trace.py, log.py       what it tells about itself
    workers.py             several processes on one port
    command.py             `lab serve`
"""
