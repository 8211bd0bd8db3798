__version__ = '1.0.0rc1'
"""This version, as of PEP 440."""
