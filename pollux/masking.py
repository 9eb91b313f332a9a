"""Takes values out of the messages of databases and libraries, for logs and messages to people.

Belongs here: which parts of such a message can be data. Does not belong here: our own messages,
which name files, columns and rules, and never a value.
"""

import logging
import re
import traceback
from collections.abc import Iterator
from typing import Any

from pollux.personal import MASKED
from pollux.runtime.errors import PolluxError

# Packages whose messages can be masked; those of others may hold anything.
_DATABASES = {"psycopg", "duckdb", "_duckdb", "asyncpg", "sqlalchemy"}

# Errors about a statement or the project, which say nothing of data.
_ABOUT_CODE = re.compile(
    r"(Binder|Catalog|Parser|Parsing|Compilation|Validation) Error|syntax error at or near"
)

# PostgreSQL's details: Key (email)=(…) already exists; Failing row contains (…).
_DETAIL = re.compile(r"(\)=|Failing row contains )\(.*\)", re.DOTALL)
# The statement that failed, up to the mark below it, which may hold a value cut short.
_EXCERPT = re.compile(r"\s*LINE \d+: .*?\n *\^", re.DOTALL)
_UNQUOTED = re.compile(r"(with value )\S+")

# DuckDB quotes the whole error that made a database unusable.
_WHOLE = re.compile(r'(?<=Original error: )"(.*)"', re.DOTALL)

# It writes the error that caused one as JSON.
_CAUSE = re.compile(r'\{"exception_type":.*?"exception_message":"((?:[^"\\]|\\.)*)".*\}', re.DOTALL)

# What is quoted is the name of something, or else a value. A value may hold quotes and line ends
# itself, so it reaches to the message's last quote.
_QUOTED = re.compile(
    r"(?P<name>\b(?:column|relation|table|schema|constraint|index|type|function|role|database) "
    r'"[^"\n]*"'
    # Whoever mends a file that cannot be read, or a server out of reach, needs its name.
    r"|\b(?:[Ff]ile|pattern|server at|socket|host|user) (?:\"[^\"\n]*\"|'[^'\n]*'))"
    r"|(?<!\w)(?P<quote>[\"']).*(?P=quote)(?!\w)",
    re.DOTALL,
)


def without_values(message: str) -> str:
    """A message with a mask wherever it could show data; names of tables and columns stay."""
    if _ABOUT_CODE.search(message):
        return message
    message = _WHOLE.sub(lambda found: without_values(found[1]), message)
    message = _CAUSE.sub(lambda found: without_values(found[1].replace('\\"', '"')), message)
    message = _EXCERPT.sub("", message)
    message = _DETAIL.sub(rf"\1{MASKED}", message)
    message = _UNQUOTED.sub(rf"\1{MASKED}", message)
    return _QUOTED.sub(lambda found: found["name"] or MASKED, message)


def told(error: BaseException) -> str:
    """What an error says without values: of libraries that are no databases, its type only."""
    if isinstance(error, (PolluxError, OSError)):
        return str(error).strip()
    if type(error).__module__.partition(".")[0] in _DATABASES:
        return without_values(str(error).strip())
    return type(error).__name__


def where_raised(error: BaseException) -> str:
    """The traceback of an error and of its causes: places and types, without their messages."""
    return "\nCaused by:\n".join(
        "".join(traceback.format_tb(one.__traceback__)) + type(one).__name__
        for one in _chain(error)
    )


def mask_logged_errors() -> None:
    """From now on the log of an error has places and types only, whichever library writes it."""
    make = logging.getLogRecordFactory()

    def masked(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            # asyncio writes the error into its message, too.
            record.msg, record.args = without_values(record.getMessage()), None
            record.exc_text, record.exc_info = where_raised(error), None
        return record

    logging.setLogRecordFactory(masked)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
