"""Models, notebooks and bilingual reports on online-to-offline (O2O) commerce."""

from importlib.metadata import version

__version__ = version("o2o_research")
