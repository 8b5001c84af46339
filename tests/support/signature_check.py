"""The type checker that the import hook of the test run applies to every signature.

Beartype with the numeric tower of PEP 484, as mypy has it: an int is welcome where a float is asked for.
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
