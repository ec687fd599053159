"""`lab doctor`: what is on this machine, and the command that installs what is missing.

    finding    looks for it
    showing    writes it for people
    command    the options
"""
