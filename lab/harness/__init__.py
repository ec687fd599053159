"""The part of the lab that stays at home: it may need packages, it is not in lab.pyz, and no target ever runs it.

    pyz.py     builds dist/lab.pyz out of all the rest
    docs.py    writes docs/cli.md from the parser
"""
