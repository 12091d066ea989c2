"""PyPI `langchain-mcp-adapters`: tools as a LangChain agent calls them."""

import asyncio

import task
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools


async def main():
    job = task.task()
    client = MultiServerMCPClient({"switchboard": {"transport": "streamable_http", "url": job["url"]}})
    async with client.session("switchboard", auto_initialize=False) as session:
        server = await session.initialize()
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def call(tool, arguments):
            return (await tools[tool].ainvoke(arguments))[0]["text"]

        task.report(
            "langchain-mcp-adapters",
            job["mode"],
            server.protocolVersion,
            list(tools),
            echo_legacy=await call("everything_echo", {"message": job["text"]}),
            echo_modern=await call("demo_echo", {"text": job["text"]}),
        )


asyncio.run(main())
