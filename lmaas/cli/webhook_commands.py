"""`lmaas webhooks`: receivers of events, and what they were told."""

from datetime import datetime
from functools import partial
from itertools import islice

import click

from lmaas.cli.moments import time_past
from lmaas.cli.output import ago, print_json, print_table, server_options
from lmaas.cli.several import Several
from lmaas.client import Client
from lmaas.errors import BadUsage
from lmaas.webhooks import Delivery, Webhook


@click.group()
def webhooks() -> None:
    """Webhooks: add, test and remove receivers; see and replay what they were told."""


@webhooks.command()
@click.argument("receiver", metavar="URL")
@click.option("--event", "-e", "events", multiple=True, help="May be given again; default: all.")
@click.option("--description", default="", help="For people.")
@server_options
def add(
    receiver: str, events: tuple[str, ...], description: str, url: str | None, as_json: bool
) -> None:
    """Add a receiver at URL and print its id and its secret; that is shown this one time."""
    with Client(url) as client:
        made = client.webhooks.add(receiver, events=events, description=description)
    _shown_once(made, as_json=as_json)


@webhooks.command()
@server_options
def ls(url: str | None, as_json: bool) -> None:
    """List the receivers, without their secrets."""
    with Client(url) as client:
        found = client.webhooks.ls()
    if as_json:
        print_json(found)
        return
    rows = [(one.id, one.url, _health(one), ", ".join(one.events)) for one in found]
    print_table(("id", "url", "state", "events"), rows, "no webhooks; `lmaas webhooks add URL`")


def _health(webhook: Webhook) -> str:
    if webhook.disabled_reason is not None:
        return f"disabled {ago(webhook.disabled_at)}: {webhook.disabled_reason}"
    if webhook.failures:
        return f"failing, first {ago(webhook.failing_since)}"
    return webhook.status


@webhooks.command()
@click.argument("webhook_id")
@server_options
def rm(webhook_id: str, url: str | None, as_json: bool) -> None:
    """Remove a receiver; what waits for it is not sent."""
    with Client(url) as client:
        _told(client.webhooks.rm(webhook_id), "removed", as_json=as_json)


@webhooks.command()
@click.argument("webhook_id")
@server_options
def enable(webhook_id: str, url: str | None, as_json: bool) -> None:
    """Send to a disabled receiver again."""
    with Client(url) as client:
        _told(client.webhooks.enable(webhook_id), "enabled", as_json=as_json)


@webhooks.command()
@click.argument("webhook_id", required=False)
@click.option("--jobs", is_flag=True, help="The secret that signs webhooks of single jobs.")
@server_options
def rotate(webhook_id: str | None, jobs: bool, url: str | None, as_json: bool) -> None:
    """Make a new secret and print it; for a day the old one signs as well."""
    if jobs == bool(webhook_id):
        raise BadUsage("name a webhook or give --jobs: one of the two, and not both")
    with Client(url) as client:
        if webhook_id:
            _shown_once(client.webhooks.rotate(webhook_id), as_json=as_json)
            return
        made = client.webhooks.rotate_signing_secret()
    if as_json:
        print_json(made)
    else:
        click.echo(made.secret)


@webhooks.command()
@server_options
def secret(url: str | None, as_json: bool) -> None:
    """Print the secret that signs webhooks of single jobs."""
    with Client(url) as client:
        found = client.webhooks.signing_secret()
    if as_json:
        print_json(found)
    else:
        click.echo(found.secret)


@webhooks.command()
@click.argument("webhook_id")
@server_options
def test(webhook_id: str, url: str | None, as_json: bool) -> None:
    """Send a receiver an event of the type webhook.test."""
    with Client(url) as client:
        made = client.webhooks.test(webhook_id)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made.id}\t{made.event}")
        click.echo(f"`lmaas webhooks log {webhook_id}` tells how it went", err=True)


@webhooks.command()
@click.argument("webhook_id", required=False)
@click.option("--about", metavar="ID", help="A job, response or batch, of all receivers.")
@click.option("--status", type=click.Choice(["pending", "delivered", "failed"]))
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True)
@server_options
def log(
    webhook_id: str | None,
    about: str | None,
    status: str | None,
    limit: int,
    url: str | None,
    as_json: bool,
) -> None:
    """Show what a receiver was told, or what was told of a job; newest first."""
    with Client(url) as client:
        found = client.webhooks.log(webhook_id, status=status, subject=about, page=min(limit, 100))
        shown = list(islice(found, limit))
    if as_json:
        print_json(shown)
        return
    rows = [
        (one.id, one.type, one.subject, one.status, len(one.attempts), ago(one.created_at),
         _last(one))
        for one in shown
    ]  # fmt: skip
    columns = ("id", "event", "about", "state", "attempts", "made", "last attempt")
    print_table(columns, rows, "nothing was told yet")


def _last(delivery: Delivery) -> str:
    if not delivery.attempts:
        return "-"
    last = delivery.attempts[-1]
    said = str(last.http_status or last.error_code)
    return said if last.error_message is None else f"{said}: {last.error_message}"


@webhooks.command()
@click.argument("webhook_id")
@click.argument("delivery_ids", nargs=-1, metavar="[DELIVERY_ID...]")
@click.option(
    "--since", type=time_past, metavar="TIME", help="Made since then: RFC 3339, or 2h, 3d ago."
)
@click.option("--until", type=time_past, metavar="TIME", help="Made before then.")
@click.option("--delivered", is_flag=True, help="Those that were delivered, too.")
@server_options
def replay(
    webhook_id: str,
    delivery_ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    delivered: bool,
    url: str | None,
    as_json: bool,
) -> int:
    """Tell events again, each under its own id: some, or those of a time that failed."""
    if (since is None) == (not delivery_ids) or (delivery_ids and (until or delivered)):
        raise BadUsage(
            "name deliveries or give --since (and --until, --delivered): one of the two, not both"
        )
    several = Several()
    with Client(url) as client:
        if since is None:
            replay_one = partial(client.webhooks.replay, webhook_id)
            count = len(list(several.each(delivery_ids, replay_one)))
        else:
            status = None if delivered else "failed"
            count = client.webhooks.replay_since(webhook_id, since, until, status=status)
    if as_json:
        print_json({"replayed": count})
    else:
        click.echo(f"{count} due again")
    return several.code


def _shown_once(webhook: Webhook, *, as_json: bool) -> None:
    if as_json:
        print_json(webhook)
    else:
        click.echo(f"{webhook.id}\t{webhook.secret}")


def _told(webhook: Webhook, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(webhook)
    else:
        click.echo(f"{webhook.id}\t{what}")
