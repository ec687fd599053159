"""The part of the lab that runs only on the machine of its user: it may need packages, and it is not in lab.pyz.

    verifying/            `lab verify` and `lab diff`: expectations, verdicts, reports, the schema of records
    targets/              where probes run, one file a kind of target
    images/               `lab images`: the Linux images that the lab knows by name
    server_containers/    `lab up`, and the commands that find its containers again
    engine.py             the container engine, and what the lab has created in it
    wine.py               prefixes of Wine
    server_variants.py    every I/O model and backend that `lab serve` can use on this machine
    tables.py             TOML files whose fields are checked
    pyz.py                makes dist/lab.pyz
"""
