"""What the worker and its core cost, against bounds and against what people use instead."""
