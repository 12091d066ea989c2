"""PyPI `fastmcp` 4."""

import asyncio

import task
from fastmcp import Client


async def main():
    job = task.task()
    async with Client(job["url"], mode=job["mode"]) as client:
        tools = [tool.name for tool in await client.list_tools()]
        legacy = await client.call_tool("everything_echo", {"message": job["text"]})
        modern = await client.call_tool("demo_echo", {"text": job["text"]})
        task.report(
            "fastmcp",
            job["mode"],
            client.protocol_version,
            tools,
            echo_legacy=legacy.content[0].text,
            echo_modern=modern.content[0].text,
        )


asyncio.run(main())
