"""What the Python client programs share: the task they are given and the report they give back."""

import json
import sys
from importlib.metadata import version


def task():
    """The task, as README.md describes it."""
    return json.loads(sys.argv[1])


async def answers(job, call):
    """What each tool that asks answered with; an exception in its own words."""
    said = {}
    for tool in job["answers"]:
        try:
            said[tool] = await call(tool, {"who": job["text"]})
        except Exception as error:  # whatever the library throws is what is reported
            said[tool] = f"{type(error).__name__}: {error}"
    return said


def report(client, mode, protocol, tools, **seen):
    """Prints the report."""
    line = {"client": client, "version": version(client), "mode": mode, "protocol": protocol, "tools": tools, **seen}
    print(json.dumps(line), flush=True)
