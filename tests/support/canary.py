"""A person who is sent through every door, and looked for in whatever is kept or said after it."""

from collections.abc import Sequence
from urllib.parse import quote

import httpx

NAME, EMAIL, STREET = "Áine O'Canary", "aine.canary@example.org", "7 Yellow Lane"
NUMBER = 867530986753
TRACES = ("canary", "áine", quote("Áine").lower(), "yellow lane", "yellow%20lane", str(NUMBER))
PERSON = {"name": NAME, "email": EMAIL, "address": STREET}
BODIES = [PERSON, [PERSON], NAME, {"customer": PERSON, "coupons": [PERSON]}, {EMAIL: STREET}]
QUERIES = ["email", "limit", "sort", "next", "fields", "gender", "household_key"]


def traces_in(text: str) -> list[str]:
    """What of the person is in a text."""
    return [trace for trace in TRACES if trace in text.lower()]


def ask_for_a_person(
    client: httpx.Client, *, paths: Sequence[str], lists: Sequence[str], posts: Sequence[str]
) -> list[httpx.Response]:
    """Every door with every kind of refusal; in `paths` the person stands where `{}` does."""
    answers = []
    for value in (NAME, EMAIL, STREET, "\0" + NAME):
        safe = quote(value, safe="")
        answers += [client.get(path.format(safe, safe)) for path in paths]
        for path in lists:
            answers += [client.get(path, params={query: value}) for query in QUERIES]
            answers.append(client.get(path, params={value: value}))
        answers.append(client.request("DELETE", paths[0].format(safe, safe)))
        answers.append(client.get("/healthz", headers={"Host": "aine.canary.example"}))
        for name in ("If-None-Match", "Accept", "X-Forwarded-Prefix", "Authorization"):
            answers.append(client.get(lists[0], headers={name: value.encode().replace(b"\0", b"")}))
    for path in (*posts, f"/{quote(NAME)}"):
        answers += [client.post(path, json=body) for body in BODIES]
        answers.append(client.post(path, content=f'{{"email": "{EMAIL}'))
        answers.append(client.post(path, content=NAME, headers={"Content-Type": "text/plain"}))
    return answers
