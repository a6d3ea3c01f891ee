"""Keeping other people's loggers from writing down what they send and receive."""

import logging

_TALKATIVE = ("azure.core", "azure.identity", "msal", "urllib3")


def quiet_libraries() -> None:
    """Silence the loggers of the HTTP and identity libraries up to CRITICAL.

    At WARNING `azure-identity` writes what the identity service answered and `urllib3` whole URLs;
    at DEBUG `msal` writes an identity endpoint's answer with its token. Our own errors say what
    failed. A level somebody set on one of these loggers on purpose stays.
    """
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
