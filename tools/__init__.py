"""Tools for developers of the lab. They are in the repository but not in the wheel. Run one as `python -m tools.NAME`.

    test_all           run every test that this machine can run; it reads the JUnit files by ``reports``
    in_image           run the portable tests inside an image
    windows            run the portable tests on a Windows Python under Wine; ``windows_python`` downloads one
    daemon             start a container engine on a machine that has none, by ``install``, ``gvisor`` and ``emulators``
    pages              write docs/cli.md and docs/catalogue.md
    venv.sh            `make setup`
    clients.sh         install the clients that `make test-all` uses
    merged.sh          `make merged`
"""
