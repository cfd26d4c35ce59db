"""What the fleet is compared with: each program runs in `.venv-rivals`, or under Node.

Every one does the same work with a client that keeps its connections, takes ten messages a
receive, polls long, and deletes a message only after its POST was accepted, as ours does.
"""
