"""What `tnp eval` measures, one file per kind of number."""
