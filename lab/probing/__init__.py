"""What probes are made of, what finds them, what runs them, and `lab probe`.

    probe, needs, rig, watchers, faults, repetition    what a probe is written with
    catalogue                                          finds every probe of ``lab.probes``
    run/                                               observes cells, each in a child process
    show/                                              prints observations
    selection, command                                 `lab probe`
"""
