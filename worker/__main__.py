"""`python -m worker`: the same as the console script `analysis-worker`."""

if __name__ == "__main__":
    from worker.cli import app

    app(prog_name="analysis-worker")
