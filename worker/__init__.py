"""The speech-analysis worker: takes jobs from SQS, has them scored, and posts signed results."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("analysis-worker")
except PackageNotFoundError:  # run from a copied tree that was never installed
    __version__ = "0+unknown"
