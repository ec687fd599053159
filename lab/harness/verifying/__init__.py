"""`lab verify` and `lab diff`.

    command.py, wanted.py         the options of `lab verify`, and their value
    campaign.py                   its four steps: observe, judge, re-run, report
    observing.py, rerun.py        targets side by side; unexpected results once more, alone
    expectations/, judge.py       known differences of platforms; a verdict on each cell
    compare.py, axes.py           where platforms differ; targets that share a kernel must agree
    findings.py, reports/         the results; how terminals and CI systems show them
    matrix.py                     named sets of targets
    serve_check.py                `--serve`: real bytes through every server variant (server_process.py)
    schema/                       the format of records, for other programs
    diff.py                       `lab diff`
"""
