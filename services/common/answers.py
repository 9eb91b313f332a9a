"""Answers made from a release: their headers, conditional requests, and the answers in memory.

Belongs here: what every answer from a release has in common. Does not belong here: what an
answer says.
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Concatenate, Generic, NamedTuple, ParamSpec, TypeVar

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pollux.runtime.keys import KeyScope
from services.common.copying import CopiedAnswer, Copying
from services.common.database import Database
from services.common.formats import Format, format_of
from services.common.prefix import prefix_of
from services.common.problems import ProblemError
from services.common.releases import NothingReleasedError, Release, ReleaseWatcher
from services.common.require_key import NEEDS_IN_SCOPE, demand

P = ParamSpec("P")
T = TypeVar("T")

# Bytes that an entry takes besides its key and body: objects, headers, its slot in the table.
ENTRY_BYTES = 700
ENTITY_TAG = re.compile(rb'(?:W/)?("[^"]*")')
# The release's tables are gone, or were made by another version of the models.
GONE = (
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedColumnError,
)


class ReleaseUnreadableError(ProblemError):
    """The current release lacks what the service reads."""

    def __init__(self, release: Release) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "release-unreadable",
            "Release unreadable",
            f"Release {release.name} lacks a table or column that this answer is made from; it was "
            "released by another version.",
            headers={"Retry-After": "5", "X-Pollux-Release": release.name},
        )


class Answer(Response):
    """A JSON answer made from a release, or the 304 in its place."""

    media_type = "application/json"

    def __init__(self, release: Release, body: bytes, *, matched: bool = False) -> None:
        self.status_code = HTTPStatus.NOT_MODIFIED if matched else HTTPStatus.OK
        self.background = None
        self.body = b"" if matched else body
        self.raw_headers = list(release.headers)
        if not matched:
            self.raw_headers += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Sends the answer."""
        start: Message = {
            "type": "http.response.start",
            "status": int(self.status_code),
            # A copy: middleware adds to them, and the answer may be kept in memory.
            "headers": [*self.raw_headers],
        }
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


# A customer whose rows may be newer than the release: domain and key.
Subject = tuple[str, int]


class Kept(NamedTuple):
    """An answer in memory, the route that made it, the scope it needs of a key, its subject."""

    release: Release
    answer: Answer
    route: str
    needs: KeyScope | None
    subject: Subject | None
    size: int


class AnswersInMemory:
    """Answers by path and query, at most `limit` bytes; the least recently used goes first."""

    def __init__(
        self, *, limit: int, is_live: Callable[[Subject], bool] = lambda _subject: False
    ) -> None:
        self._limit = limit
        self._is_live = is_live
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Kept | None:
        """The answer kept under a key, from any release; none of who has live rows by now."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.subject is not None and self._is_live(kept.subject):
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(
        self,
        key: bytes,
        release: Release,
        answer: Answer,
        route: str,
        needs: KeyScope | None = None,
        subject: Subject | None = None,
    ) -> None:
        """Keeps an answer, unless it would take more than an eighth of the memory."""
        size = len(key) + len(answer.body) + ENTRY_BYTES
        if size > self._limit // 8:
            return
        self.drop(key)
        self._kept[key] = Kept(release, answer, route, needs, subject, size)
        self.size += size
        while self.size > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.size

    def drop(self, key: bytes) -> None:
        """Forgets one answer."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size -= kept.size

    def keep_only(self, releases: Mapping[str, Release]) -> None:
        """Forgets the answers of releases that are not current."""
        for key, kept in list(self._kept.items()):
            if releases.get(kept.release.domain) is not kept.release:
                self.drop(key)


class Answers:
    """Makes answers from the current release of a domain."""

    def __init__(
        self, database: Database, watcher: ReleaseWatcher, memory: AnswersInMemory
    ) -> None:
        self.database = database
        self.watcher = watcher
        self.memory = memory

    async def releases(self) -> Mapping[str, Release]:
        """The current releases by domain; raises `NothingReleasedError` if there is none."""
        releases = await self.watcher.all_current()
        if not releases:
            raise NothingReleasedError
        return releases

    async def make(
        self,
        request: Request,
        domain: str,
        read: Callable[Concatenate[Database, Release, P], Awaitable[bytes]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """The answer that `read` makes from the current release; it is then kept in memory.

        If the release is dropped while it is read, its successor is read instead.
        """
        return await self.make_of(request, None, domain, read, *args, **kwargs)

    async def make_of(
        self,
        request: Request,
        subject: Subject | None,
        domain: str,
        read: Callable[Concatenate[Database, Release, P], Awaitable[bytes]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """The same, kept until the subject has live rows."""
        release, body = await self.read(domain, read, *args, **kwargs)
        answer = Answer(release, body)
        scope = request.scope
        self.memory.put(
            memory_key(scope),
            release,
            answer,
            scope["route"].path_format,
            scope.get(NEEDS_IN_SCOPE),
            subject,
        )
        return Answer(release, b"", matched=True) if matches(scope, release) else answer

    async def copy(
        self,
        request: Request,
        domain: str,
        copy: Callable[Concatenate[Database, Release, Format, P], Awaitable[Copying]],
        as_: Format,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Response:
        """A whole list from the current release, as it comes; nothing of it is kept."""
        release, copying = await self.read(domain, copy, as_, *args, **kwargs)
        headers = {name.decode(): value.decode() for name, value in release.headers}
        headers["etag"] = f'{release.etag[:-1]}-{as_.name.lower()}"'
        return await copied_answer(request.scope, copying, headers, as_)

    async def read(
        self,
        domain: str,
        read: Callable[Concatenate[Database, Release, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[Release, T]:
        """The current release, and what `read` makes from it."""
        release = await self.watcher.current(domain)
        try:
            return release, await self._read(release, read, *args, **kwargs)
        except GONE:
            await self.watcher.check_again()
            release = await self.watcher.current(domain)
            try:
                return release, await self._read(release, read, *args, **kwargs)
            except GONE as error:
                raise ReleaseUnreadableError(release) from error

    async def _read(
        self,
        release: Release,
        read: Callable[Concatenate[Database, Release, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        with naming(release):
            return await read(self.database, release, *args, **kwargs)


async def copied_answer(
    scope: Scope, copying: Copying, headers: Mapping[str, str], as_: Format
) -> Response:
    """A whole list with these headers as it comes, or the 304 in its place."""
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if names_tag(scope, dict(sent)[b"etag"].decode()):
        await copying.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=dict(headers))
    kind = f"{as_.value}; charset=utf-8" if as_ is Format.CSV else as_.value
    return CopiedAnswer(copying, [*sent, (b"content-type", kind.encode())])


class KeptPerRelease(Generic[T]):
    """A value made once from each current release of a domain."""

    def __init__(
        self,
        answers: Answers,
        domain: str,
        read: Callable[[Database, Release], Awaitable[T]],
    ) -> None:
        self._answers = answers
        self._domain = domain
        self._read = read
        self._kept: tuple[Release, T] | None = None
        self._making: asyncio.Task[None] | None = None

    async def current(self) -> tuple[Release, T]:
        """The current release and its value; concurrent callers share one read."""
        release = await self._answers.watcher.current(self._domain)
        while self._kept is None or self._kept[0] is not release:
            if self._making is None:
                self._making = asyncio.create_task(self._make())
                self._making.add_done_callback(lambda task: task.cancelled() or task.exception())
            # A cancelled caller must not cancel the others.
            await asyncio.shield(self._making)
            release = await self._answers.watcher.current(self._domain)
        return self._kept

    async def _make(self) -> None:
        try:
            self._kept = await self._answers.read(self._domain, self._read)
        finally:
            self._making = None


class AnswersFromMemory:
    """Middleware that answers from memory, before any routing.

    For the metrics, it puts the route of an answer in the scope (`pollux.kept_route`).
    """

    def __init__(self, app: ASGIApp, *, memory: AnswersInMemory, watcher: ReleaseWatcher) -> None:
        self.app = app
        self.memory = memory
        self.watcher = watcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers from memory, or passes on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        key = memory_key(scope)
        kept = self.memory.get(key)
        # What is kept is JSON.
        if kept is None or format_of(scope) is not Format.JSON:
            await self.app(scope, receive, send)
            return
        scope["pollux.kept_route"] = kept.route
        try:
            if kept.needs is not None:
                demand(scope, kept.needs)
            current = await self.watcher.current(kept.release.domain)
        except ProblemError as problem:
            await problem.response(scope)(scope, receive, send)
            return
        if current is not kept.release:
            del scope["pollux.kept_route"]
            self.memory.drop(key)
            await self.app(scope, receive, send)
            return
        answer = kept.answer
        if matches(scope, current):
            answer = Answer(current, b"", matched=True)
        await answer(scope, receive, send)


@contextmanager
def naming(release: Release) -> Iterator[None]:
    """Names the release in the headers of any problem raised inside."""
    try:
        yield
    except ProblemError as problem:
        problem.headers.setdefault("X-Pollux-Release", release.name)
        raise


def memory_key(scope: Scope) -> bytes:
    """Path and query as they were sent, and the prefix, which answers may contain."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    prefix = prefix_of(scope)
    return raw_path + b"?" + query + (b"#" + prefix.encode() if prefix else b"")


def answer_of_several(request: Request, releases: Sequence[Release], body: bytes) -> Response:
    """An answer made from several releases: it names them all, under one tag."""
    digest = hashlib.sha256("".join(release.etag for release in releases).encode()).hexdigest()
    tag = f'"all-{digest[:10]}"'
    headers = {
        "ETag": tag,
        "X-Pollux-Release": ", ".join(release.name for release in releases),
        "Cache-Control": "no-cache",
    }
    if names_tag(request.scope, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def matches(scope: Scope, release: Release) -> bool:
    """Whether If-None-Match names the release's tag."""
    return names_tag(scope, release.etag)


def names_tag(scope: Scope, tag: str) -> bool:
    """Whether If-None-Match names a tag; tags compare weakly (RFC 9110)."""
    tags = [value for name, value in scope["headers"] if name == b"if-none-match"]
    if not tags:
        return False
    listed = b",".join(tags)
    return listed.strip() == b"*" or tag.encode() in ENTITY_TAG.findall(listed)


def answers_of(request: Request) -> Answers:
    """The app's answers, from inside a route."""
    answers: Answers = request.app.state.answers
    return answers
