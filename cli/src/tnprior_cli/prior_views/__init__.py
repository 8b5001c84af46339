"""Pictures of a learned prior: its modes, ways between samples or conditions, its two-dimensional marginals."""
