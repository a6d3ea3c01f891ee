"""Keeping other people's loggers from writing down what they send and receive."""

import logging

_TALKATIVE = ("azure.core", "azure.identity", "msal", "urllib3")


def quiet_libraries() -> None:
    """Raise the level of the HTTP and identity libraries' loggers to WARNING.

    At DEBUG `urllib3` writes paths with their query and `msal` an identity endpoint's whole answer;
    a host that turns its root logger to DEBUG would keep both. A level somebody set on one of these
    loggers on purpose stays.
    """
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
