"""A modern server over HTTP, PyPI `mcp` 2: its tools ask their caller.

It prints its port. Every execution is one line of the journal, the file that the argument names.
"""

import socket
import sys
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp_types import CreateMessageResult, SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("asker")


class Form(BaseModel):
    name: str


def note(tool, who):
    with open(sys.argv[1], "a") as journal:
        journal.write(f"{tool} {who}\n")


def ask_name(who: str):
    return Elicit(f"Who are you, {who}?", Form)


def ask_model(who: str):
    question = SamplingMessage(role="user", content=TextContent(type="text", text=who))
    return Sample([question], max_tokens=10)


@server.tool()
async def form(who: str, answer: Annotated[Form, Resolve(ask_name)]) -> str:
    note("form", who)
    return answer.name


@server.tool()
async def sample(who: str, answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    note("sample", who)
    return answer.content.text


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
uvicorn.Server(config).run(sockets=[listener])
