"""What a study found, for people: terminal, one self-contained page, Markdown and CSV. No PyTorch.

Everything here reads a results document (plain JSON types) and nothing else.
"""

from tutelage.reporting.page import write_report
from tutelage.reporting.text import print_results

__all__ = ["print_results", "write_report"]
