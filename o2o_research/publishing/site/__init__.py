"""The site: every case's reports, and where each of their numbers comes from, as files.

``build`` makes it from the runs in ``reports/``. Each page is one file that asks the network for
nothing, so the site works from a folder, without a server.
"""

from o2o_research.publishing.site.building import STAMP, build, read

__all__ = ["STAMP", "build", "read"]
