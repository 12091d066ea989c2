"""PyPI `mcp` 1: its session over streamable HTTP."""

import asyncio

import task
from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client


async def main():
    job = task.task()
    told = asyncio.Event()

    async def on_message(message):
        root = getattr(message, "root", None)
        if isinstance(root, types.ToolListChangedNotification):
            told.set()

    async with (
        streamablehttp_client(job["url"], headers=job.get("headers")) as (reads, writes, _),
        ClientSession(reads, writes, message_handler=on_message) as session,
    ):
        server = await session.initialize()

        async def call(tool, arguments):
            return (await session.call_tool(tool, arguments)).content[0].text

        seen = {}
        if "watch" in job:
            await call("grower_grow", job["watch"])
            await told.wait()
        else:
            seen["echo_legacy"] = await call("everything_echo", {"message": job["text"]})
            seen["echo_modern"] = await call("demo_echo", {"text": job["text"]})
        tools = [tool.name for tool in (await session.list_tools()).tools]
        task.report("mcp", job["mode"], server.protocolVersion, tools, **seen)


asyncio.run(main())
