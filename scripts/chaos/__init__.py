"""Faults of every kind against a small fleet, and a count of what became of each job."""
