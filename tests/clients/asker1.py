"""A legacy server over standard streams, PyPI `mcp` 1: its tools ask their caller.

Every execution is one line of the journal, the file that the argument names.
"""

import sys

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

server = FastMCP("asker")


class Form(BaseModel):
    name: str


def note(tool, who):
    with open(sys.argv[1], "a") as journal:
        journal.write(f"{tool} {who}\n")


@server.tool()
async def form(who: str, ctx: Context) -> str:
    note("form", who)
    answer = await ctx.elicit(f"Who are you, {who}?", Form)
    return answer.data.name if answer.action == "accept" else answer.action


@server.tool()
async def sample(who: str, ctx: Context) -> str:
    note("sample", who)
    question = SamplingMessage(role="user", content=TextContent(type="text", text=who))
    answer = await ctx.session.create_message([question], max_tokens=10, related_request_id=ctx.request_id)
    return answer.content.text


server.run()
