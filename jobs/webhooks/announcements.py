"""The outbox: INSERTs that stand in the very statement that makes an event true.

So an event is told if and only if what it tells is committed. Who is told is
looked up by the housekeeper (`jobs.webhooks.outbox.Outbox.spread`): here every end of
a job pays for one look at an index, if it brought no webhook, and for nothing else.
"""

_ENDED = "e.state IN ('succeeded', 'failed', 'cancelled', 'expired')"
_SOMEBODY_LISTENS = """EXISTS (SELECT FROM webhook_endpoints w
    WHERE w.tenant_id = e.tenant_id AND w.disabled_at IS NULL)"""

# What the housekeeper needs of the input, which may be erased as soon as a job has ended.
_OF_JOB = """(SELECT jsonb_build_object('webhook', i.webhook, 'response',
      i.asked ->> 'route' = 'responses' AND i.asked ->> 'background' = 'true')
    FROM job_inputs i WHERE i.job_id = e.id)"""


def announced_jobs(ended: str) -> str:
    """An INSERT of those jobs of the row set `ended` that ended and that somebody
    wants to be told of. Lines of a batch are told with their batch."""
    return f"""  INSERT INTO webhook_outbox (tenant_id, job_id, of_job)
  SELECT e.tenant_id, e.id, {_OF_JOB} FROM {ended} e
  WHERE {_ENDED} AND e.batch_id IS NULL AND (e.has_webhook OR {_SOMEBODY_LISTENS})"""  # noqa: S608 - only constants are joined


def announced(ended: str, *, type: str, subject: str, only: str = "true") -> str:  # noqa: A002
    """The same for what is no job, such as a batch: `type` and `subject` (the id
    that clients know) are SQL over a row `e` of `ended`, which has a `tenant_id`."""
    return f"""  INSERT INTO webhook_outbox (tenant_id, type, subject)
  SELECT e.tenant_id, {type}, {subject} FROM {ended} e
  WHERE {only} AND {_SOMEBODY_LISTENS}"""  # noqa: S608 - only constants are joined
