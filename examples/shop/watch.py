"""A small stand-in for Prometheus and Alertmanager: scrapes the shop, judges, and tells a receiver."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import httpx

from shop.alerts import RULES, Alarm, Alert, Rhythm, Rule, payload
from shop.scrape import History, Scrape, parse

_SCRAPE_TIMEOUT_SECONDS = 1.0
_SEND_TIMEOUT_SECONDS = 3.0


class Watch:
    """Works in a thread of its own. What the receiver does not take with a 2xx is sent again each interval.

    `problem` says why the last sending failed, and is None after one that was taken.
    """

    def __init__(
        self,
        instance_urls: Mapping[str, str],
        receiver: str,
        key: str,
        rhythm: Rhythm | None = None,
        rules: Sequence[Rule] = RULES,
    ) -> None:
        self.problem: str | None = None
        self._instance_urls = instance_urls
        self._receiver = receiver
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": "Alertmanager/0.25.0"}
        self._rhythm = rhythm or Rhythm()
        self._alarm = Alarm(self._rhythm, rules)
        self._histories = {name: History() for name in instance_urls}
        self._alerts: list[Alert] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Looks and tells no more; an undelivered alert is dropped."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def firing(self) -> list[str]:
        """Names of the alerts that fire now."""
        return [alert.rule.name for alert in self._alerts.copy() if alert.ends_at is None]

    def _run(self) -> None:
        with httpx.Client(trust_env=False) as client:
            while not self._stopping.wait(self._rhythm.interval_seconds):
                self._look(client)
                self._tell(client)

    def _look(self, client: httpx.Client) -> None:
        now = datetime.now(UTC)
        for name, url in self._instance_urls.items():
            self._histories[name].add(now, _scrape(client, url))
        self._alerts.extend(self._alarm.evaluate(now, self._histories))

    def _tell(self, client: httpx.Client) -> None:
        self._alerts = [alert for alert in self._alerts if alert.matters]
        for alert in self._alerts:
            now = datetime.now(UTC)
            if alert.is_due(now, self._rhythm.repeat_seconds) and self._send(client, alert):
                alert.told, alert.told_at = alert.status, now

    def _send(self, client: httpx.Client, alert: Alert) -> bool:
        try:
            response = client.post(
                self._receiver, json=payload(alert), headers=self._headers, timeout=_SEND_TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            self.problem = f"the receiver cannot be reached: {error}"
            return False
        self.problem = None if response.is_success else f"the receiver answered {response.status_code}"
        return response.is_success


def _scrape(client: httpx.Client, url: str) -> Scrape | None:
    """The instance's figures, or None where it does not answer as it should."""
    try:
        response = client.get(f"{url}/metrics", timeout=_SCRAPE_TIMEOUT_SECONDS)
        return parse(response.raise_for_status().text)
    except (httpx.HTTPError, ValueError):
        return None
