"""A web back end that streams replies as server-sent events. MODEL chooses the model.

uvicorn --app-dir examples web_backend:app
curl -N localhost:8000/chat --json '{"messages": "Hello!"}'
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from llmsdk import AsyncClient, AsyncStream, Chat, LLMError


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, AsyncClient]]:
    """One client for all requests, closed with the app."""
    async with AsyncClient(os.environ.get("MODEL", "local:pocket")) as client:
        yield {"client": client}


async def chat(request: Request) -> Response:
    """``{"messages": ...}`` as ``client.chat`` takes them: a string, or turns in OpenAI's format."""
    try:
        body = await request.json()
        stream = request.state.client.chat(body["messages"], stream=True)  # checked here, asked when it is read
    except (LLMError, ValueError, KeyError, TypeError) as error:
        return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 422)
    return EventStream(stream)


class EventStream(StreamingResponse):
    """A reply as server-sent events. A client that hangs up closes the stream, so nothing is generated for nobody."""

    def __init__(self, stream: AsyncStream[Chat]) -> None:
        self.events = events(stream)
        super().__init__(self.events, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.events):
            await super().__call__(scope, receive, send)


async def events(stream: AsyncStream[Chat]) -> AsyncGenerator[str]:
    """The text piece by piece, then why it ended and what it used; or the error that cut it off."""
    async with stream:
        try:
            async for event in stream:
                if event.text:
                    yield sse("text", event.text)
            yield sse("done", {"finish_reason": stream.result.finish_reason, "usage": asdict(stream.result.usage)})
        except LLMError as error:
            yield sse("error", {"type": type(error).__name__, "message": error.message})


def sse(event: str, data: object) -> str:
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


app = Starlette(routes=[Route("/chat", chat, methods=["POST"])], lifespan=lifespan)
