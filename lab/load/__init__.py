"""The echo load generator: many connections that send, read back and check every byte.

    pattern.py    the bytes that a run sends, and the search for the first wrong byte that comes back
    latency.py    a histogram of latencies in fixed memory
    plan.py       the parameters of a run
    session.py    the state and the counters that the connections of one run share
    client.py     one connection, of one of two kinds: messages or stream
    connect.py    establishes all connections of a run
    run.py        ``drive(plan)``, the loop, which `lab load`, the tests and the harness call
    report.py     the results of a run, as text and as JSON
    command.py    `lab load`
"""
