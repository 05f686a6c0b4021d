"""The report a release is decided by: one page that opens from disk, and its content as files.

report = gather(Path("langmerge.yaml"))
write(report, Path("report"))
"""

from langmerge.report.content import Report, gather
from langmerge.report.files import write

__all__ = ["Report", "gather", "write"]
