"""What developers of the lab need and its users do not: it is in the repository and in no wheel.

    test_all, in_image, windows, windows_python, merged.sh    running the tests everywhere
    daemon, install, gvisor, emulators                        a container engine for a machine that has none
    pages                                                     docs/cli.md and docs/catalogue.md
    venv.sh, clients.sh                                       what `make setup` and `make test-all` install
"""
