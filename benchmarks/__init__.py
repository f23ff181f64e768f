"""One script per claim; each prints a table with the peer beside us."""
