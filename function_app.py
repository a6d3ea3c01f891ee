"""The Azure Functions app: its routes and triggers, and nothing else.

What a route does is in `mdti.routes`, who may call it in `mdti.door`. Importing this reads one
setting, WEBSITE_AUTH_ENABLED, asks nobody anything and loads no part of the app.
"""

import os

import azure.functions as func

from mdti.door import Door
from mdti.http import health

QUEUE = "mdti-jobs"
STORAGE = "AzureWebJobsStorage"
DAILY = "0 17 3 * * *"  # 03:17 UTC, away from the full hour at which everybody else asks

door = Door(os.environ)
app = func.FunctionApp(http_auth_level=door.level)


@app.route("v1/lookups", methods=["POST"])
@app.queue_output("queue", queue_name=QUEUE, connection=STORAGE)
def post_lookups(
    req: func.HttpRequest, queue: func.Out[str], context: func.Context
) -> func.HttpResponse:
    """Look up one IOC or up to a hundred."""
    return door.answer(req, context, lambda: door.routes.post_lookups(req, queue))


@app.route("v1/lookups", methods=["GET"])
@app.queue_output("queue", queue_name=QUEUE, connection=STORAGE)
def get_lookups(
    req: func.HttpRequest, queue: func.Out[str], context: func.Context
) -> func.HttpResponse:
    """Look up one IOC, as JSON, HTML, Markdown or STIX."""
    return door.answer(req, context, lambda: door.routes.get_lookups(req, queue))


@app.route("v1/incidents", methods=["POST"])
@app.queue_output("queue", queue_name=QUEUE, connection=STORAGE)
def post_incidents(
    req: func.HttpRequest, queue: func.Out[str], context: func.Context
) -> func.HttpResponse:
    """Say what to do with a Sentinel incident."""
    return door.answer(req, context, lambda: door.routes.post_incidents(req, queue))


@app.route("v1/jobs/{id}", methods=["GET"])
def get_job(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Give the answer to a request that was answered with 202."""
    return door.answer(req, context, lambda: door.routes.get_job(req))


@app.route("v1/actors", methods=["GET"])
def get_actors(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """List the intel profiles."""
    return door.answer(req, context, lambda: door.routes.get_actors())


@app.route("v1/actors/{name}", methods=["GET"])
def get_actor(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Give one intel profile by its title or an alias."""
    return door.answer(req, context, lambda: door.routes.get_actor(req))


@app.route("v1/feeds", methods=["GET"])
def get_feeds(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """List the feeds."""
    return door.answer(req, context, lambda: door.routes.get_feeds())


@app.route("v1/feeds/{feed}", methods=["GET"])
def get_feed(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Give one feed with the report of its last run."""
    return door.answer(req, context, lambda: door.routes.get_feed(req))


@app.route("v1/feeds/{feed}/runs", methods=["POST"])
@app.queue_output("queue", queue_name=QUEUE, connection=STORAGE)
def post_feed_run(
    req: func.HttpRequest, queue: func.Out[str], context: func.Context
) -> func.HttpResponse:
    """Run a feed; the answer comes later."""
    return door.answer(req, context, lambda: door.routes.post_feed_run(req, queue))


@app.route("v1/status", methods=["GET"])
def get_status(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Try everything that the app needs, and say what to do where it fails."""
    return door.answer(req, context, lambda: door.routes.get_status())


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def get_health(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Say that the process lives; open to everybody."""
    return door.answer(req, context, health, check_caller=False)


@app.route("openapi.json", methods=["GET"])
def get_openapi(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Give the contract of these routes."""
    return door.answer(req, context, lambda: door.routes.get_openapi())


@app.route("MDTIActor", methods=["GET", "POST"], auth_level=func.AuthLevel.FUNCTION)
def legacy(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answer as the earlier Actor Lookup did; its callers have a function key and no identity."""
    return door.answer(req, context, lambda: door.routes.legacy(req), check_caller=False)


@app.queue_trigger("message", queue_name=QUEUE, connection=STORAGE)
@app.queue_output("queue", queue_name=QUEUE, connection=STORAGE)
def run_job(message: func.QueueMessage, queue: func.Out[str], context: func.Context) -> None:
    """Do the work of the job whose id is the message; a feed that stopped short queues another."""
    job_id = message.get_body().decode("ascii", "replace")
    door.work(context, lambda: door.routes.run_job(job_id, queue))


@app.timer_trigger("timer", schedule=DAILY, run_on_startup=False)
def daily(timer: func.TimerRequest, context: func.Context) -> None:  # noqa: ARG001
    """Read the intel profiles anew; off by `AzureWebJobs.daily.Disabled` until access is granted.

    A token asked for before the grant is kept without its roles for up to a day.
    """
    door.work(context, lambda: door.routes.daily())


FEED_TIMERS = {
    "mdti-to-anomali": "0 7 * * * *",
    "threatconnect-to-sentinel": "0 22 * * * *",
    "opencti-to-defender": "0 */5 * * * *",
    "anyrun-to-defender": "0 37 */2 * * *",
    "anomali-to-anomali": "0 52 * * * *",
    "anomali-to-defender": "0 3 * * * *",
    "anomali-to-sentinel": "0 9 * * * *",
    "anyrun-to-anomali": "0 13 */2 * * *",
    "anyrun-to-sentinel": "0 17 */2 * * *",
    "mdti-to-defender": "0 19 * * * *",
    "opencti-to-anomali": "0 2-59/5 * * * *",
    "opencti-to-sentinel": "0 4-59/5 * * * *",
    "taxii-to-anomali": "0 33 * * * *",
    "taxii-to-defender": "0 39 * * * *",
    "taxii-to-sentinel": "0 43 * * * *",
    "threatconnect-to-anomali": "0 47 * * * *",
    "threatconnect-to-defender": "0 57 * * * *",
}
"""When each feed runs: ANY.RUN's every two hours, OpenCTI's every five minutes, others hourly."""


def add_feed_timer(feed: str, schedule: str) -> None:
    """Add the timer of a feed; `AzureWebJobs.<its name>.Disabled` keeps it off until wanted."""

    @app.function_name(feed.replace("-", "_"))
    @app.timer_trigger("timer", schedule=schedule, run_on_startup=False)
    @app.queue_output("queue", queue_name=QUEUE, connection=STORAGE)
    def run(timer: func.TimerRequest, queue: func.Out[str], context: func.Context) -> None:  # noqa: ARG001
        door.work(context, lambda: door.routes.run_feed(feed, queue))


for feed, schedule in FEED_TIMERS.items():
    add_feed_timer(feed, schedule)
