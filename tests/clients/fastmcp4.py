"""PyPI `fastmcp` 4."""

import asyncio

import task
from fastmcp import Client


async def main():
    job = task.task()

    async def fill_in(message, response_type, params, context):
        return {"name": job["text"]}

    async def complete(messages, params, context):
        return messages[0].content.text

    async with Client(
        job["url"], mode=job["mode"], elicitation_handler=fill_in, sampling_handler=complete
    ) as client:

        async def call(tool, arguments):
            return (await client.call_tool(tool, arguments)).content[0].text

        tools = [tool.name for tool in await client.list_tools()]
        if "answers" in job:
            seen = {"answers": await task.answers(job, call)}
        else:
            seen = {
                "echo_legacy": await call("everything_echo", {"message": job["text"]}),
                "echo_modern": await call("demo_echo", {"text": job["text"]}),
            }
        task.report("fastmcp", job["mode"], client.protocol_version, tools, **seen)


asyncio.run(main())
