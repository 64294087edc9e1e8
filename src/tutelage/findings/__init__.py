"""From the results of a study to verdicts. Reads the results document alone; no PyTorch.

The unit of every interval is the replicate: students of one teacher are no independent evidence
about teachers, so they are averaged first.
"""

from tutelage.findings.beside import beside_paper
from tutelage.findings.compute import equal_compute
from tutelage.findings.early_stop import sentences
from tutelage.findings.finding import Finding
from tutelage.findings.judge import find
from tutelage.findings.mimics import mimicry

__all__ = ["Finding", "beside_paper", "equal_compute", "find", "mimicry", "sentences"]
