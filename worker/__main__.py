"""`python -m worker`: the same as the console script `analysis-worker`."""

from worker.cli import app

if __name__ == "__main__":
    app(prog_name="analysis-worker")
