"""The `tnp` command: train, sample, impute and evaluate models of objects and their attributes.

Everything the command does is in the packages below it; what is offered here is the language of conditions.
"""

from tnprior_cli.given import Term, describe, parse_given

__all__ = ["Term", "describe", "parse_given"]
