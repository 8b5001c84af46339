"""In the process of a command, numbers below the normal floats count as zero.

The weights along a chain run through hundreds of nats, and so through the subnormal numbers, 1e-45 to 1e-38, on which
many processors are slow: on an Intel Xeon an update of a train of rank 64 took fourteen times as long with them. Beside
what counts, which is kept near one, they are nothing.

This is a mode of the processor that each thread inherits from the one that starts it. So it has to be set before
torch's threads start, and only where the process is ours: by the `tnp` script, never by an import of this package.
"""

import warnings
from dataclasses import dataclass

__all__ = ["PROCESS", "Process"]


@dataclass
class Process:
    """What this process is."""

    ours: bool = False

    def flush(self) -> None:
        """Set the mode, if the process is ours; call it right after the first import of torch."""
        if not self.ours:
            return
        import torch

        if torch.set_flush_denormal(True):
            # Some versions of numpy notice, and say so whenever the limits of a type are asked for.
            warnings.filterwarnings("ignore", message="The value of the smallest subnormal")


PROCESS = Process()
