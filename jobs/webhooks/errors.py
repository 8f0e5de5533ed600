"""The branch of `jobs.errors` that webhooks have."""

from jobs.errors import InvalidRequest, LmaasError


class UnknownWebhook(LmaasError):
    """No such webhook for this tenant."""

    code = "webhook_not_found"


class UnknownDelivery(LmaasError):
    """No such delivery of this webhook."""

    code = "delivery_not_found"


class WebhookUrlRefused(InvalidRequest):
    """The URL of a webhook breaks a rule for where webhooks may lead."""

    code = "webhook_url_refused"


class TooManyWebhooks(InvalidRequest):
    """The tenant has as many webhooks as it may have."""

    code = "too_many_webhooks"


class WebhookSecretSealed(LmaasError):
    """A webhook's secret was sealed with a key that is not set here."""

    code = "webhook_secret_sealed"
