"""Metrics and probes as an HTTP client sees them."""

import re
from contextlib import closing
from http.client import HTTPConnection

from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families


@frozen
class Scraped:
    """What listens at an address."""

    host: str
    port: int

    @classmethod
    def all_named_by(cls, log: str) -> "list[Scraped]":
        """Those whose addresses a log tells."""
        found = re.findall(r"metrics are at http://(.*):(\d+)/metrics", log)
        return [cls(host.strip("[]"), int(port)) for host, port in found]

    def get(self, path: str) -> tuple[int, str]:
        """The status, and the whole answer with its headers."""
        with closing(HTTPConnection(self.host, self.port, timeout=10)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, f"{answer.headers}\n{answer.read().decode()}"

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All metrics, by name and labels."""
        text = self.get("/metrics")[1].partition("\n\n")[2]
        families = text_string_to_metric_families(text)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One of them; the sum over the labels that are not given."""
        wanted = labels.items()
        return sum(
            value
            for (each, given), value in self.values().items()
            if each == f"voltpay_{name}" and wanted <= given
        )
