"""Reports of a run, for people and for programs; all of them are derived from ``findings.Findings``."""
