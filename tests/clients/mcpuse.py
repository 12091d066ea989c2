"""PyPI `mcp-use`: its client, configured with `mcpServers`."""

import asyncio
import os

import task

# Read when the library is imported: nothing leaves this machine.
os.environ["MCP_USE_ANONYMIZED_TELEMETRY"] = "false"
from mcp_use import MCPClient  # noqa: E402
from mcp_use.client.middleware import Middleware  # noqa: E402


class Handshake(Middleware):
    """Remembers what came of the handshake, which the library keeps to itself."""

    async def on_initialize(self, context, call_next):
        self.result = await call_next(context)
        return self.result


async def main():
    job = task.task()
    handshake = Handshake()
    config = {"mcpServers": {"switchboard": {"url": job["url"]}}}
    client = MCPClient(config, middleware=[handshake])
    session = await client.create_session("switchboard")
    try:
        legacy = await session.call_tool("everything_echo", {"message": job["text"]})
        modern = await session.call_tool("demo_echo", {"text": job["text"]})
        task.report(
            "mcp-use",
            job["mode"],
            handshake.result.protocolVersion,
            [tool.name for tool in await session.list_tools()],
            echo_legacy=legacy.content[0].text,
            echo_modern=modern.content[0].text,
        )
    finally:
        await client.close_all_sessions()


asyncio.run(main())
