"""What people run: one file for each noun, joined in worker/cli.py."""
