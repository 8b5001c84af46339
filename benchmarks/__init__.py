"""Benchmarks of tnprior: each module answers one question (README.md)."""
