"""Webhooks of releases, sent by the event service as long as one waits (`pollux.runtime.webhooks`).

Each receiver has a thread of its own: one that is slow holds up neither events nor other receivers.
"""

import threading

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.runtime.webhooks import keep_delivering, read_webhooks


class ReleaseWebhooks:
    """The threads of all receivers; without receivers it does nothing."""

    def __init__(self, serving_store: ServingStore, settings: Settings) -> None:
        self._serving_store = serving_store
        self._webhooks = read_webhooks(settings)
        self._news = [threading.Event() for _ in self._webhooks]
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins to send what is due."""
        for webhook, news in zip(self._webhooks, self._news, strict=True):
            threading.Thread(
                target=keep_delivering,
                args=(self._serving_store, webhook, news, self._ended),
                # A receiver that does not answer must not hold up the end of the process.
                daemon=True,
            ).start()

    def notice_releases(self) -> None:
        """Makes all of them look at once: a release may be new."""
        for news in self._news:
            news.set()

    def close(self) -> None:
        """Ends the threads, once each has ended the request that it makes."""
        self._ended.set()
        self.notice_releases()
