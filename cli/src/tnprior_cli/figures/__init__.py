"""`report.html`: what a run is, its numbers and its figures on one page, one concept per file."""
