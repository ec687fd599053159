"""The part of the lab that stays at home: it may need packages, it is not in lab.pyz, and no target ever runs it.

    verify.py, diff.py        the commands
    targets/                  where probes run, one file a kind
    expectations/, judge.py   what platforms are known to do otherwise, and verdicts
    compare.py, reports/      where platforms differ; what people and CI systems read
    schema/                   the format of records, for other programs
    serving.py, served.py     real bytes through every way to serve
    pyz.py, docs.py           make dist/lab.pyz, docs/cli.md and docs/catalogue.md
"""
