"""Prints a run of `lab probe` for people: tables, one probe in detail, and the layout that both share."""
