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
def run_job(message: func.QueueMessage, context: func.Context) -> None:
    """Do the work of the job whose id is the message."""
    job_id = message.get_body().decode("ascii", "replace")
    door.work(context, lambda: door.routes.run_job(job_id))


@app.timer_trigger("timer", schedule=DAILY, run_on_startup=False)
def daily(timer: func.TimerRequest, context: func.Context) -> None:  # noqa: ARG001
    """Read the intel profiles anew; off by `AzureWebJobs.daily.Disabled` until access is granted.

    A token asked for before the grant is kept without its roles for up to a day.
    """
    door.work(context, lambda: door.routes.daily())
