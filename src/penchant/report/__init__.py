"""One page for engineers and managers: what was compared, how sure one can be, for whom it works."""

from penchant.report.page import html

__all__ = ["html"]
