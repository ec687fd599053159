"""`lab verify` and `lab diff`: targets are observed, judged against what is known, compared, and reported."""
