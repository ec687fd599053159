"""Tools for developers of the lab. They are in the repository but not in the wheel. Run one as `python -m tools.NAME`.

    test_all, in_image, windows, windows_python, merged.sh    run the tests everywhere
    daemon, install, gvisor, emulators                        start a container engine on a machine that has none
    pages                                                     write docs/cli.md and docs/catalogue.md
    venv.sh, clients.sh                                       install what `make setup` and `make test-all` need
"""
