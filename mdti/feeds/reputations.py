"""Microsoft's judgement of hosts for the feeds, by the look-up's own client and memory."""

from collections.abc import Callable, Mapping, Sequence

from mdti.errors import InputError, MdtiError
from mdti.feeds.indicator import Key
from mdti.feeds.ingest import Ask
from mdti.feeds.policy import Reputation
from mdti.ioc import HostParser
from mdti.lookup import Lookups
from mdti.models import Host
from mdti.models import Reputation as HostReputation
from mdti.net.deadline import Deadline


def asking(lookups: Callable[[], Lookups], parser: HostParser) -> Ask:
    """Return what asks for the reputations of a feed's hosts; one that is no host is an error."""

    def ask(keys: Sequence[Key], deadline: Deadline) -> Mapping[Key, Reputation | MdtiError]:
        answers: dict[Key, Reputation | MdtiError] = {}
        hosts: dict[Key, Host] = {}
        for key in keys:
            try:
                hosts[key] = parser.parse(key.value)
            except InputError as error:
                answers[key] = error
        found = lookups().reputations(tuple(hosts.values()), deadline=deadline)
        for key, host in hosts.items():
            answer = found[host]
            answers[key] = answer if isinstance(answer, MdtiError) else _of(answer)
        return answers

    return ask


def _of(reputation: HostReputation) -> Reputation:
    return Reputation(reputation.score, tuple(rule.name for rule in reputation.rules))
