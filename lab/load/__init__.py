"""The echo load generator: many connections that send, read back and check every byte.

    pattern.py    the bytes that are sent, and what is known about bytes that came back wrong
    latency.py    a histogram of fixed memory
    plan.py       what is asked of a run
    session.py    what the connections of one run share and count
    client.py     one connection, and its two kinds: messages and stream
    connect.py    from nothing to all connections established
    run.py        ``drive(plan)``, the loop; what tests and the harness call
    report.py     what a run found, for people and as JSON
    command.py    `lab load`
"""
