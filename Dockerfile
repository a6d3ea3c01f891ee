# The OpenCTI feed as a long-running connector: run, wait, run again, as a user without rights.
#
#   docker build -t mdti-feed .
#   docker run --stop-timeout 60 --env-file connector.env -v mdti-state:/state mdti-feed
#
# Its settings are the connector's own (docs/settings.md); another feed: add `taxii-to-sentinel`.
# `docker stop` ends it at once, or after the answer to a change that is under way.
FROM python:3.13-slim

WORKDIR /app
COPY pyproject.toml README.md ./
COPY mdti mdti
RUN pip install --no-cache-dir ".[opencti]" \
    && useradd --system --uid 10001 --no-create-home mdti \
    && mkdir /state \
    && chown 10001 /state

ENV MDTI_STATE_DIR=/state PYTHONUNBUFFERED=1
VOLUME /state
USER 10001
ENTRYPOINT ["mdti", "feed", "run", "--follow"]
CMD ["opencti-to-defender"]
