"""Keys of events: the same for the same event, and for no other."""

from uuid import UUID

from services.events.database.event_keys import answer_id, event_key, line_key


def test_keys_are_of_the_sender_or_of_the_message() -> None:
    by_content = event_key("shop/in", b"{}", None)
    assert by_content == event_key("shop/in", b"{}", None)
    different = [
        event_key("shop/out", b"{}", None),
        event_key("shop/in", b"{ }", None),
        event_key("shop/in", b"{}", "1"),
        event_key("shop/i", b"n{}", None),
        event_key("shop/in", b"{}", "2"),
        event_key("shop/out", b"{}", "1"),
    ]
    assert len({by_content, *different}) == 7
    assert event_key("shop/in", b"{}", "1") == event_key("shop/in", b"something else", "1")
    answers = {answer_id(by_content, what) for what in ("code", "line")}
    lines = {line_key(by_content, line) for line in (1, 11, 2)}
    assert len({UUID(int=0), by_content, *answers, *lines}) == 7
