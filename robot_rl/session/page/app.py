"""The page's HTTP and its websocket. Who may come is in `door`, what is said in `hub`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from robot_rl.core.errors import ContractError, RobotRlError
from robot_rl.session.mode import Verb
from robot_rl.session.page.archive import Archive
from robot_rl.session.page.client import Client
from robot_rl.session.page.connection import PATIENCE_S, Crowd, Peer
from robot_rl.session.page.door import FOREIGN, FOREIGN_WORDS, WRONG_TOKEN, Door, bearer
from robot_rl.session.page.hub import Hub
from robot_rl.session.page.message import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Hello,
    Script,
    decode,
    decode_script,
)

STATIC = Path(__file__).parent / "static"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FULL = 1013
_MISBEHAVED = 1008
_STUCK_S = 10.0
"""Who takes nothing for so long is sent away: nobody reads there."""
_MOST_SCRIPTS = 16


def page_app(hub: Hub, door: Door, crowd: Crowd, archive: Archive, most_clients: int) -> ASGIApp:
    """Return the application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    known = Depends(partial(_check_token, door))
    scripts = asyncio.Semaphore(_MOST_SCRIPTS)

    @app.get("/")
    async def index() -> Response:
        return FileResponse(STATIC / "index.html")

    @app.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("OK")

    @app.post("/command", dependencies=[known])
    async def command(request: Request) -> Response:
        script = await _script_of(request)
        if scripts.locked() and script.verb != Verb.STOP:
            raise HTTPException(429, "too many commands wait for an answer")
        async with _place(scripts, script.verb):
            try:
                answer = await hub.ask(script)
            except TimeoutError as error:
                raise HTTPException(504, "the session does not answer") from error
        told = {"done": answer.done, "words": answer.words}
        return _json(told, 200 if answer.done else 409)

    @app.get("/api/view", dependencies=[known])
    async def view() -> Response:
        if not (told := hub.look()):
            raise HTTPException(404, "the session has shown nothing yet")
        return Response(told, media_type="application/json")

    @app.get("/api/episodes", dependencies=[known])
    async def episodes() -> Response:
        return _json({"episodes": await _read(archive.rows)})

    @app.get("/api/episode/{episode_id}", dependencies=[known])
    async def episode(episode_id: str) -> Response:
        return _json(await _read(partial(archive.columns, episode_id)))

    @app.get("/api/episode/{episode_id}/picture/{camera}/{step}", dependencies=[known])
    async def picture(episode_id: str, camera: str, step: int) -> Response:
        jpeg = await _read(partial(archive.picture, episode_id, camera, step))
        return Response(jpeg, media_type="image/jpeg")

    @app.websocket("/ws")
    async def line(websocket: WebSocket) -> None:
        await _Line(websocket, hub, door, crowd, most_clients).serve()

    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False))
    return _Guard(app, door)


class _Guard:
    """Lets no foreign page ask anything, and tells browsers what this one may do."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # A websocket is told why, which a browser does not show of HTTP.
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        if _is_foreign(self._door, Headers(scope=scope)):
            await PlainTextResponse(FOREIGN_WORDS, 403)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


class _Line:
    """One websocket, from its hello to its end."""

    def __init__(
        self, websocket: WebSocket, hub: Hub, door: Door, crowd: Crowd, most_clients: int
    ) -> None:
        self._websocket = websocket
        self._hub = hub
        self._door = door
        self._crowd = crowd
        self._most_clients = most_clients
        self._peer = _peer(websocket)

    async def serve(self) -> None:
        await self._websocket.accept()
        try:
            if (hello := await self._hello()) is not None:
                await self._talk(hello)
        except WebSocketDisconnect:
            pass

    async def _hello(self) -> Hello | None:
        """Return the first message if it is a good one; else the websocket is closed."""
        if _is_foreign(self._door, self._websocket.headers):
            return await self._refuse(FOREIGN, "another address or page")
        try:
            async with asyncio.timeout(PATIENCE_S):
                hello = decode(await self._text())
        except (TimeoutError, ContractError):
            return await self._refuse(WRONG_TOKEN, "expected hello")
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            return await self._refuse(WRONG_TOKEN, f"expected hello of protocol {PROTOCOL}")
        if not self._door.knows(hello.token, self._peer[0]):
            shut = self._door.is_shut(self._peer[0])
            return await self._refuse(WRONG_TOKEN, "wait a minute" if shut else "wrong token")
        if len(self._hub) >= self._most_clients:
            return await self._refuse(_FULL, f"there are {self._most_clients} already")
        return hello

    async def _talk(self, hello: Hello) -> None:
        self._crowd.welcome(self._peer)
        client = self._hub.join(hello)
        sender = asyncio.create_task(self._send(client))
        try:
            while self._hub.hear(client, await self._text()):
                pass
        finally:
            sender.cancel()
            self._hub.leave(client)
        await self._refuse(_MISBEHAVED, "too much that makes no sense")

    async def _send(self, client: Client) -> None:
        try:
            while True:
                message = await client.next()
                async with asyncio.timeout(_STUCK_S):
                    if isinstance(message, bytes):
                        await self._websocket.send_bytes(message)
                    else:
                        await self._websocket.send_text(message)
        except TimeoutError:
            self._crowd.drop(self._peer)
        except WebSocketDisconnect:
            # Whoever listens to it hears of that as well.
            return

    async def _text(self) -> str:
        """Return the next message; what is no text becomes one that nobody understands."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        return message.get("text") or ""

    async def _refuse(self, code: int, words: str) -> None:
        await self._websocket.close(code, words)


async def _check_token(door: Door, request: Request) -> None:
    address = _peer(request)[0]
    if door.knows(bearer(request.headers.getlist("Authorization")), address):
        return
    if door.is_shut(address):
        raise HTTPException(429, "too many wrong tokens: wait a minute")
    raise HTTPException(401, "expected the header Authorization: Bearer TOKEN")


async def _script_of(request: Request) -> Script:
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_MESSAGE_BYTES:
                    raise HTTPException(413, f"expected at most {MAX_MESSAGE_BYTES} bytes")
    except TimeoutError as error:
        raise HTTPException(408, "the command did not come") from error
    try:
        script = decode_script(bytes(body))
    except ContractError as error:
        raise HTTPException(400, str(error)) from error
    if script.view == 0 and script.verb != Verb.STOP:
        raise HTTPException(400, "expected `view`: the number of what GET /api/view shows")
    return script


@asynccontextmanager
async def _place(scripts: asyncio.Semaphore, verb: Verb) -> AsyncIterator[None]:
    """Take one of the places for commands; a stop needs none."""
    if verb == Verb.STOP:
        yield
        return
    async with scripts:
        yield


async def _read[T](work: Callable[[], T]) -> T:
    try:
        return await run_in_threadpool(work)
    except RobotRlError as error:
        raise HTTPException(404, str(error)) from error


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _is_foreign(door: Door, headers: Headers) -> bool:
    return door.is_foreign(headers.getlist("Host"), headers.getlist("Origin"))


def _peer(connection: Request | WebSocket) -> Peer:
    client = connection.client
    return (client.host, client.port) if client else ("", 0)
