"""What the Python client programs share: the task they are given and the report they give back."""

import json
import sys
from importlib.metadata import version


def task():
    """The task, as README.md describes it."""
    return json.loads(sys.argv[1])


def report(client, mode, protocol, tools, **seen):
    """Prints the report."""
    line = {"client": client, "version": version(client), "mode": mode, "protocol": protocol, "tools": tools, **seen}
    print(json.dumps(line), flush=True)
