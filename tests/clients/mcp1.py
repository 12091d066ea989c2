"""PyPI `mcp` 1: its session over streamable HTTP."""

import asyncio

import task
from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client


async def main():
    job = task.task()
    told = asyncio.Event()

    async def fill_in(_, params):
        return types.ElicitResult(action="accept", content={"name": job["text"]})

    async def complete(_, params):
        content = types.TextContent(type="text", text=params.messages[0].content.text)
        return types.CreateMessageResult(role="assistant", content=content, model="it")

    async def on_message(message):
        root = getattr(message, "root", None)
        if isinstance(root, types.ToolListChangedNotification):
            told.set()

    async with (
        streamablehttp_client(job["url"], headers=job.get("headers")) as (reads, writes, _),
        ClientSession(
            reads,
            writes,
            message_handler=on_message,
            elicitation_callback=fill_in,
            sampling_callback=complete,
        ) as session,
    ):
        server = await session.initialize()

        async def call(tool, arguments):
            return (await session.call_tool(tool, arguments)).content[0].text

        seen = {}
        if "watch" in job:
            await call("grower_grow", job["watch"])
            await told.wait()
        elif "answers" in job:
            seen["answers"] = await task.answers(job, call)
        else:
            seen["echo_legacy"] = await call("everything_echo", {"message": job["text"]})
            seen["echo_modern"] = await call("demo_echo", {"text": job["text"]})
        tools = [tool.name for tool in (await session.list_tools()).tools]
        task.report("mcp", job["mode"], server.protocolVersion, tools, **seen)


asyncio.run(main())
