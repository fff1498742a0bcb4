"""Executed notebooks to reports: one road, two languages, HTML and PDF.

``publish`` writes all the reports of a notebook. ``HTMLExporter`` and ``PDFExporter`` do the same
for one language from ``jupyter nbconvert --to o2o_html`` and ``--to o2o_pdf``.
"""

from o2o_research.publishing.exporters import FORMATS, HTMLExporter, PDFExporter, publish, warm

__all__ = ["FORMATS", "HTMLExporter", "PDFExporter", "publish", "warm"]
