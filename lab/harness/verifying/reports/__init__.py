"""What people and programs read of a run: derived from records and verdicts, never edited."""
