"""PyPI `mcp` 2: its high-level client, in each of its modes."""

import asyncio

import httpx2
import task
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageResult, ElicitResult, TextContent


def target(job):
    """Where the client connects: standard streams, a URL, or a URL with headers."""
    if "command" in job:
        program, *args = job["command"]
        return StdioServerParameters(command=program, args=args)
    if "headers" in job:
        http = httpx2.AsyncClient(headers=job["headers"], timeout=httpx2.Timeout(30, read=300))
        return streamable_http_client(job["url"], http_client=http)
    return job["url"]


async def names(client):
    return [tool.name for tool in (await client.list_tools()).tools]


async def call(client, tool, arguments):
    return (await client.call_tool(tool, arguments)).content[0].text


async def changed(client, arguments):
    """The tools after the change that a subscription told of."""
    async with client.listen(tools_list_changed=True) as changes:
        await call(client, "grower_grow", arguments)
        async for _ in changes:
            return await names(client)


async def main():
    job = task.task()

    async def fill_in(_, params):
        return ElicitResult(action="accept", content={"name": job["text"]})

    async def complete(_, params):
        content = TextContent(type="text", text=params.messages[0].content.text)
        return CreateMessageResult(role="assistant", content=content, model="it")

    async with Client(
        target(job), mode=job["mode"], elicitation_callback=fill_in, sampling_callback=complete
    ) as client:
        if "watch" in job:
            seen = {"tools": await changed(client, job["watch"])}
        elif "answers" in job:
            said = await task.answers(job, lambda *words: call(client, *words))
            seen = {"tools": await names(client), "answers": said}
        else:
            seen = {
                "tools": await names(client),
                "echo_legacy": await call(client, "everything_echo", {"message": job["text"]}),
                "echo_modern": await call(client, "demo_echo", {"text": job["text"]}),
            }
        task.report("mcp", job["mode"], client.protocol_version, **seen)


asyncio.run(main())
